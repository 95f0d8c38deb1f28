// What no type allows, and what a stranger's JSON or another script hands in all the same: refused, and no key is lost by it.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Identity, Keyring, MemoryStore, Passphrase, Pin, Recipient, SealContext, SealedBlob, SealwireError, Signer, SymmetricKey, fromText, inspect,
  open, openStream, rewrap, seal, sealStream, sealedFetch, signRequest, split, toText, verifyRequest,
} from "../dist/esm/node.js";

const context = new SealContext("notes", "17");
const refused = (code) => (error) => {
  assert.ok(error instanceof SealwireError, `${error?.stack}`);
  assert.equal(error.code, code, error.message);
  return true;
};

test("a value of another type is Misuse, and takes no key away", async () => {
  const bob = await Identity.generate({ kem: "X25519" });
  const envelope = await seal("hello", bob.recipient, context);
  const origin = "https://api.example.com";
  const request = () => new Request(`${origin}/x`);
  const fetched = (rule, call) =>
    sealedFetch({ services: { [origin]: { pins: [] } }, rules: [{ origin, path: "/{rest..}", ...rule }] }, { identity: bob })(`${origin}/x`, call);
  const written = async ({ readable, writable }, piece) => {
    const writer = writable.getWriter();
    await Promise.all([readable.getReader().read(), writer.write(piece), writer.closed]);
  };
  const calls = [];
  for (const wrong of [undefined, null, 5, {}, ["sealwire1"]]) {
    for (const parse of [Recipient.parse, Signer.parse, Pin.parse, Identity.parse, Identity.parseFile, fromText, Passphrase.create]) calls.push(() => parse(wrong));
    calls.push(() => open(envelope, bob, wrong), () => seal("x", bob.recipient, wrong), () => signRequest(request(), wrong));
    calls.push(() => verifyRequest(request(), bob.signer, { origin: wrong }), () => SymmetricKey.fromBytes(wrong));
    for (const read of [inspect, toText, split]) calls.push(() => read(wrong));
    calls.push(() => SealedBlob.open({ size: wrong === 5 ? NaN : wrong, read: async () => envelope }, bob, context));
    calls.push(() => written(sealStream(bob.recipient, wrong), envelope));
  }
  for (const size of [-1, 1.5, Infinity, "90"]) calls.push(() => SealedBlob.open({ size, read: async () => envelope }, bob, context));
  for (const fake of [Object.create(Uint8Array.prototype), new Proxy(envelope, {})]) {
    calls.push(() => seal(fake, bob.recipient, context), () => open(fake, bob, context), () => inspect(fake), () => rewrap(fake, bob, context, bob.recipient));
    calls.push(() => written(openStream(bob, context), fake));
  }
  calls.push(() => open(envelope, new Keyring(null), context), () => open(envelope, bob, context, { expect: null }));
  calls.push(() => open(envelope, bob, { namespace: "notes", fields: ["17"] }), () => seal("x", [null], context), () => seal("x", bob.recipient, context, { aead: 5 }));
  calls.push(() => seal("x", bob.recipient, context, { metadata: [5] }), () => seal("x", bob.recipient, context, { sign: null }));
  calls.push(() => Identity.generate({ kem: 5 }), () => Passphrase.create("x", { memory: 2 ** 32 + 64, passes: 1, lanes: 1 }));
  calls.push(() => Passphrase.create("x", { memory: 64 }), () => Passphrase.create("x", { memory: 64, passes: 1, lanes: 1n }));
  calls.push(() => signRequest(request(), bob, { cover: [5] }), () => verifyRequest(request(), bob.signer, { origin, require: [5] }));
  calls.push(() => fetched({ exchange: { tunnel: "/relative" } }), () => fetched({ exchange: { expose: 5 } }), () => fetched({ exchange: true }, { sealwire: { to: 5 } }));
  calls.push(() => fetched({ exchange: true }, { sealwire: { context: {} } }));
  for (const call of calls) {
    await assert.rejects(async () => call(), refused("Misuse"), `${call}`);
    assert.equal(bob.reveal().length, 130, `${call}`);
  }
  assert.equal((await open(envelope, bob, context)).text(), "hello");
});

test("what is sealed is the payload and nothing else of the module's memory, whatever its length says", async () => {
  const key = await SymmetricKey.generate();
  const lies = Object.defineProperty(new Uint8Array([1, 2, 3]), "length", { value: 5000 });
  class Liar extends Uint8Array {
    get length() {
      return 5000;
    }
  }
  for (const liar of [lies, new Liar([1, 2, 3])]) {
    assert.deepEqual([...(await open(await seal(liar, key, context), key, context)).plaintext], [1, 2, 3]);
  }
});

test("memory that was transferred is no empty payload", async () => {
  const bob = await Identity.generate({ kem: "X25519" });
  const payload = new Uint8Array(10);
  structuredClone(payload.buffer, { transfer: [payload.buffer] });
  await assert.rejects(seal(payload, bob.recipient, context), refused("Misuse"));
  await assert.rejects(seal(payload.buffer, bob.recipient, context), refused("Misuse"));
  await assert.rejects(inspect(payload), refused("Misuse"));
  assert.equal(bob.reveal().length, 130);
});

test("a Buffer of Node is copied like any other bytes", async () => {
  const key = await SymmetricKey.generate();
  const id = Buffer.from("id");
  const named = new SealContext("notes", id);
  const envelope = await seal("x", key, named);
  id.fill(0);
  assert.equal((await open(envelope, key, named)).text(), "x");
  assert.equal((await open(envelope, key, new SealContext("notes", new TextEncoder().encode("id")))).text(), "x");

  const store = new MemoryStore();
  const secret = Buffer.from("secret");
  await store.save("a", secret);
  secret.fill(0);
  for (let i = 0; i < 2; i++) {
    const loaded = await store.load("a");
    assert.equal(Buffer.from(loaded).toString(), "secret");
    loaded.fill(0);
  }
});
