// Passphrases: Argon2 runs in a worker whose memory comes back.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import init from "../dist/esm/glue/sealwire.js";
import { Identity, Keyring, Passphrase, SealContext, SealwireError, inspect, open, reseal, rewrap, seal } from "../dist/esm/node.js";

const context = new SealContext("notes", "1");
const refused = (code) => (error) => error instanceof SealwireError && error.code === code;
const memory = async () => Object.values(await init()).find((exported) => exported instanceof WebAssembly.Memory).buffer.byteLength;
const MIB = 1 << 20;

test("the memory of the instance does not grow by Argon2's", async () => {
  const passphrase = await Passphrase.create("correct horse");
  await seal("warm", (await Identity.generate()).recipient, context);
  const before = await memory();
  const envelope = await seal("hello", [passphrase], context);
  const { unverifiedSlots } = await inspect(envelope);
  assert.deepEqual(unverifiedSlots, [{ kind: "passphrase", memory: 65536, passes: 3, lanes: 4 }]);
  assert.equal((await open(envelope, passphrase, context)).text(), "hello");
  const grown = (await memory()) - before;
  assert.ok(grown < 2 * MIB, `${grown} bytes`);
});

test("every call takes passphrases: seal, open, rewrap, reseal, beside other keys", async () => {
  const cheap = { memory: 64, passes: 1, lanes: 1 };
  const [one, two, three] = await Promise.all(["one", "two", "three"].map((text) => Passphrase.create(text, cheap)));
  const alice = await Identity.generate({ kem: "X25519" });
  const envelope = await seal("hello", [one, alice.recipient, two], context);
  for (const keys of [one, two, alice, new Keyring(three, two), new Keyring(three, alice)]) {
    assert.equal((await open(envelope, keys, context)).text(), "hello");
  }
  await assert.rejects(open(envelope, three, context), refused("NotRecipient"));
  await assert.rejects(open(envelope, one, new SealContext("notes", "2")), refused("Rejected"));
  const rewrapped = await rewrap(envelope, one, context, [three]);
  assert.equal((await open(rewrapped, three, context)).text(), "hello");
  await assert.rejects(open(rewrapped, new Keyring(one, two), context), refused("NotRecipient"));
  const resealed = await reseal(rewrapped, three, context, [one, two]);
  assert.equal((await open(resealed, new Keyring(three, two), context)).text(), "hello");
  await assert.rejects(seal("x", [one, two, three], context), refused("TooLarge"));
  // Every envelope has a salt of its own: the same passphrase does not show.
  const salts = await Promise.all([seal("x", one, context), seal("x", one, context)]);
  assert.notDeepEqual(salts[0].slice(40, 120), salts[1].slice(40, 120));
});

test("one open runs Argon2 four times at most, over all passphrases", async () => {
  const cheap = { memory: 64, passes: 1, lanes: 1 };
  const make = (text) => Passphrase.create(text, cheap);
  const right = await make("right");
  const envelope = await seal("hello", [right], context);
  const wrong = await Promise.all(["1", "2", "3", "4"].map(make));
  assert.equal((await open(envelope, new Keyring(...wrong.slice(0, 3), right), context)).text(), "hello");
  await assert.rejects(open(envelope, new Keyring(...wrong, right), context), refused("TooLarge"));
});

test("a freed passphrase is Misuse, and CommonJS has its own worker", async () => {
  const passphrase = await Passphrase.create("x");
  passphrase.free();
  await assert.rejects(seal("x", passphrase, context), refused("Misuse"));
  const script = `
    const { Passphrase, SealContext, open, seal } = require("./dist/cjs/node.cjs");
    (async () => {
      const passphrase = await Passphrase.create("correct horse"), context = new SealContext("a");
      const before = process.memoryUsage().arrayBuffers;
      const opened = await open(await seal("hello", passphrase, context), passphrase, context);
      console.log(opened.text(), process.memoryUsage().arrayBuffers - before < 2 ** 24);
    })();`;
  assert.equal(execFileSync(process.execPath, ["-e", script], { cwd: new URL("..", import.meta.url), encoding: "utf8" }), "hello true\n");
});
