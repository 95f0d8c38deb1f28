// Headers and bodies by themselves: unlocking in two steps, detached bodies, several parts. Slots are unlocked here by Node's own cryptography, as SPEC
// §4 says, not by this package.

import assert from "node:assert/strict";
import { createDecipheriv, createHash, hkdfSync } from "node:crypto";
import { test } from "node:test";
import {
  Header, Identity, Keyring, Passphrase, SealContext, SealwireError, SymmetricKey, fromText, inspect, join, open, openDetached, openStream, reseal, rewrap,
  rewrapHeader, seal, sealParts, sealStream, split,
} from "sealwire";

const refused = (code) => (error) => error instanceof SealwireError && error.code === code;
const context = new SealContext("notes", "17");
const kem = { kem: "X25519" };

/** What a hardware module does with a symmetric slot: HKDF, and ChaCha20-Poly1305 with the zero nonce. */
function unlockedElsewhere(key, { salt, binding, ct }) {
  const slotKey = hkdfSync("sha256", key, salt, binding, 32);
  const decipher = createDecipheriv("chacha20-poly1305", new Uint8Array(slotKey), new Uint8Array(12), { authTagLength: 16 });
  decipher.setAuthTag(ct.subarray(32));
  return new Uint8Array(Buffer.concat([decipher.update(ct.subarray(0, 32)), decipher.final()]));
}

test("a slot that is unlocked elsewhere opens its envelope, and no other", async () => {
  const [bob, key] = [await Identity.generate(kem), await SymmetricKey.generate()];
  const envelope = await seal("by hand", [bob.recipient, key], context, { allowClassical: true });
  const header = await Header.parse(envelope);
  const requests = header.unlockRequests();
  assert.deepEqual(requests.map(({ kind }) => kind), ["hpke", "symmetric"]);
  assert.deepEqual([requests[0].enc.length, requests[0].ct.length, requests[0].salt], [32, 48, undefined]);
  assert.deepEqual([requests[1].salt.length, requests[1].keyId, requests[1].enc], [32, key.id, undefined]);

  const unlocked = unlockedElsewhere(key.reveal(), requests[1]);
  const contentKey = header.contentKey(unlocked);
  assert.equal((await open(envelope, contentKey, context)).text(), "by hand");
  assert.equal((await open(envelope, new Keyring(await Identity.generate(kem), contentKey), context)).text(), "by hand");
  const streamed = new Blob([envelope]).stream().pipeThrough(openStream(contentKey, context));
  assert.equal(await new Response(streamed).text(), "by hand");
  // The slots may change, the key does not.
  assert.equal((await open(await rewrap(envelope, bob, context, bob.recipient), contentKey, context)).text(), "by hand");

  await assert.rejects(open(envelope, contentKey, new SealContext("notes", "18")), refused("Rejected"));
  const other = await seal("by hand", key, context);
  await assert.rejects(open(other, contentKey, context), refused("NotRecipient"));
  assert.throws(() => header.contentKey(new Uint8Array(32)), refused("NotRecipient"));
  assert.throws(() => header.contentKey(unlocked.subarray(1)), refused("InvalidKey"));
  assert.throws(() => header.contentKey("text"), refused("Misuse"));
  const altered = envelope.slice();
  altered[header.length - 1] ^= 1;
  const claimed = await Header.parse(altered);
  assert.throws(() => claimed.contentKey(unlocked), refused("NotRecipient"));
  contentKey.free();
  await assert.rejects(open(envelope, contentKey, context), refused("Misuse"));
});

/** A key service that XORs a key with 0x5a, and puts behind it what it was told to bind. */
function service(name = "a key service", { wrap = (wrapped) => wrapped } = {}) {
  const asked = [];
  const wrapKey = async (contentKey, binding) => {
    asked.push(contentKey);
    await new Promise((resolve) => setTimeout(resolve, 5));
    return wrap(new Uint8Array([...contentKey.map((byte) => byte ^ 0x5a), ...binding]));
  };
  return { service: name, wrapKey, asked };
}

/** The content key of an envelope, from the slot of such a service. */
async function unlockedBy(name, envelope) {
  const header = await Header.parse(envelope);
  const { ct, binding } = header.unlockRequests().find((request) => request.kind === "external" && request.service === name);
  assert.deepEqual(ct.slice(32), binding);
  return header.contentKey(ct.slice(0, 32).map((byte) => byte ^ 0x5a));
}

/** Sealed with the Rust crate by `Recipients::new().service(&kms).key(&key)`, whose service did the same. */
const FROM_RUST = [
  "c2VhbHdpcmUBWCijAFggRiBpjScU2MtPfA9vfl5N3yRei8h7kHcj4d5D2dZPglMBAgIBWNyCowAEAW1hIGtleSBzZXJ2aWNlBlhjG-RuseTB-SrgpucN7pX-takoqtZWc_0BhJzzoXf8",
  "aGpzZWFsd2lyZS92MSBzbG90AE4l3KZGJpejH9bjsbsGKjHEHJQHzkvocvCmIROmDYpuogAEAW1hIGtleSBzZXJ2aWNlpAADAVggkmOwYaaDTs26HvXkehTiZ-wjYeVL3snETrl5ak5I",
  "9PYCSFPye_0LqspLBlgwKtUQfw4kaf4QU1Ja03X3lxfn68tUXQ4GHd4ny5il3nE-IZcEY3MNIRBLZxYaRxg1bYiuFsVAq8xAHEuq3VBWr8vfGHasvK2dUB4xD3NDxUVtexemCoC2JaCc",
  "8pJ1SIJP6wQtfQoM5tKOKLjRuevggdxrBmi5zTbdJQwS96J7_51XJVKT_SMfp1SXf7iRlCfKpwCEp36FasNTcs8DNhNzMFQVloPby4TKGXrkK-Q1kBv_umWASKHVf0FsbYNcSE11nv7-",
  "j02xmmkaGz6G237bfG-Zs4ODE8Iu2-ZRttlahyTWCHciddmO9zatdm-ATmayf2ZY6BMoCfdCRvSA8JLeZjuCF4BllnpHWhQGFx4-GICFJ0tcNBJm_x-CWJSeUsmUU8pSf69Qlci33hwK",
  "LO3pTJxBPMcVLEFC3YgoNQVWfiWyEyyq6739jpJ0hhwJMDaqMAHpDMIO8Le8OOxW9o8u9X-a-b8orOf8mpouREoNYhL7gkX4DCS9mp-R1VdLzfx37zGJx10C0o0s11vkRIshFNH5A0Kl",
  "HUlx",
].join("");

test("a key service's slot that was sealed in Rust opens", async () => {
  const envelope = await fromText(FROM_RUST);
  assert.deepEqual((await inspect(envelope)).unverifiedSlots.map(({ kind }) => kind), ["external", "symmetric"]);
  assert.equal((await open(envelope, await unlockedBy("a key service", envelope), context)).text(), "Dear Bob");
  assert.equal((await open(envelope, await SymmetricKey.fromBytes(new Uint8Array(32).fill(7)), context)).text(), "Dear Bob");
});

test("key services are readers: asked once, later, with what SPEC §4 binds; and what they were given is wiped", async () => {
  const [alice, bob] = [await Identity.generate(kem), await Identity.generate(kem)];
  const passphrase = await Passphrase.create("horse", { memory: 64, passes: 1, lanes: 1 });
  for (const length of [8, 20_000, 200_000]) {
    const payload = new Uint8Array(length).fill(length);
    const [one, two] = [service("one"), service("two")];
    const told = { sign: alice, metadata: { version: 3 }, filename: "a.txt", part: "x" };
    const envelope = await seal(payload, [one, bob.recipient, passphrase, two], context, told);
    assert.deepEqual((await inspect(envelope)).unverifiedSlots.map(({ kind, service }) => service ?? kind), ["one", "hpke", "passphrase", "two"]);
    for (const keys of [bob, passphrase, await unlockedBy("one", envelope), await unlockedBy("two", envelope)]) {
      const { plaintext, about } = await open(envelope, keys, context, { part: "x", expect: alice.signer });
      assert.deepEqual([plaintext, about.version, about.filename], [payload, 3, "a.txt"]);
      if (keys === bob) assert.equal(about.addressedToMe, "yes");
    }
    assert.deepEqual([one.asked, two.asked], [[new Uint8Array(32)], [new Uint8Array(32)]]);

    const [three, four] = [service("three"), service("four")];
    const rewrapped = await rewrap(envelope, bob, context, three, { part: "x" });
    const byThree = await unlockedBy("three", rewrapped);
    assert.deepEqual((await open(rewrapped, byThree, context, { part: "x" })).plaintext, payload);
    await assert.rejects(open(rewrapped, bob, context, { part: "x" }), refused("NotRecipient"));
    const resealed = await reseal(rewrapped, byThree, context, [four], { part: "x", sign: bob });
    assert.deepEqual((await open(resealed, await unlockedBy("four", resealed), context, { part: "x" })).plaintext, payload);
    await assert.rejects(open(resealed, byThree, context, { part: "x" }), refused("NotRecipient"));
    assert.deepEqual([three.asked.length, four.asked.length], [1, 1]);
  }

  // The binding by hand: the label, SHA-256 of the magic and the fixed part, and the slot's map { 0: 4, 1: its name }.
  const envelope = await seal("", service(), context);
  const fixed = 9 + 2;
  const fixedLength = envelope[9] === 0x58 ? envelope[10] : assert.fail("a fixed part of another length");
  const hash = createHash("sha256").update(envelope.subarray(0, fixed + fixedLength)).digest();
  const map = Buffer.concat([Buffer.from([0xa2, 0, 4, 1, 0x60 + 13]), Buffer.from("a key service")]);
  const [{ binding }] = (await Header.parse(envelope)).unlockRequests();
  assert.equal(Buffer.from(binding).toString("latin1"), `sealwire/v1 slot\0${Buffer.concat([hash, map]).toString("latin1")}`);
});

test("streams and parts are sealed to key services, too", async () => {
  const [alice, bob] = [await Identity.generate(kem), await Identity.generate(kem)];
  const [one, two] = [service("one"), service("two")];
  const payload = new Uint8Array(100_000).fill(7);
  const sealing = sealStream([one, bob.recipient], context, { length: payload.length, sign: alice, part: "x" });
  const envelope = new Uint8Array(await new Response(new Blob([payload]).stream().pipeThrough(sealing)).arrayBuffer());
  for (const keys of [bob, await unlockedBy("one", envelope)]) {
    assert.deepEqual((await open(envelope, keys, context, { part: "x", expect: alice.signer })).plaintext, payload);
  }
  const { header, bodies } = await sealParts({ title: "Lunch", text: "Meet me at noon" }, [two, bob.recipient], context, { sign: alice });
  assert.equal((await inspect(header)).length, header.length);
  for (const keys of [bob, await unlockedBy("two", header)]) {
    assert.equal((await openDetached(header, bodies.text, keys, context, { part: "text", expect: alice.signer })).text(), "Meet me at noon");
  }
  assert.deepEqual([one.asked, two.asked], [[new Uint8Array(32)], [new Uint8Array(32)]]);
});

test("who is known by its class is no key service, whatever is in every object", async () => {
  const [bob, key] = [await Identity.generate(kem), await SymmetricKey.generate()];
  const passphrase = await Passphrase.create("horse", { memory: 64, passes: 1, lanes: 1 });
  Object.prototype.wrapKey = () => assert.fail("asked");
  try {
    const envelope = await seal("x", [bob.recipient, { anonymous: bob.recipient }, passphrase, key], context);
    for (const keys of [bob, passphrase, key]) assert.equal((await open(envelope, keys, context)).text(), "x");
    await assert.rejects(seal("x", {}, context), refused("Misuse"));
  } finally {
    delete Object.prototype.wrapKey;
  }
});

test("a key service that fails, or is asked where nobody waits for it, is said", async () => {
  const bob = await Identity.generate(kem);
  const away = new Error("away");
  const failing = { service: "failing", wrapKey: () => Promise.reject(away) };
  const working = service("working");
  await assert.rejects(seal("x", [bob.recipient, failing, working], context), (error) => refused("Store")(error) && error.cause === away);
  assert.deepEqual(working.asked, [new Uint8Array(32)]);
  await assert.rejects(seal("x", service("", {}), context), refused("Misuse"));
  await assert.rejects(seal("x", service("s".repeat(256)), context), refused("Misuse"));
  await assert.rejects(seal("x", service("x", { wrap: () => new Uint8Array() }), context), refused("TooLarge"));
  await assert.rejects(seal("x", service("x", { wrap: () => new Uint8Array(65_537) }), context), refused("TooLarge"));
  await assert.rejects(seal("x", service("x", { wrap: () => "text" }), context), refused("Store"));
  assert.equal((await inspect(await seal("x", service("x", { wrap: () => new Uint8Array(65_536) }), context))).unverifiedSlots.length, 1);
  await assert.rejects(sealParts({}, service(), context), refused("Misuse"));
  await assert.rejects(sealParts({ a: "x" }, failing, context), refused("Store"));
  await assert.rejects(new Response(new Blob(["x"]).stream().pipeThrough(sealStream(failing, context))).arrayBuffer(), refused("Store"));
  const envelope = await seal("x", bob.recipient, context);
  await assert.rejects(rewrap(envelope, bob, new SealContext("notes", "18"), service()), refused("Rejected"));
  const { header, body } = await split(envelope);
  const rewrapped = join(await rewrapHeader(header, body, bob, context, service()), body);
  assert.equal((await open(rewrapped, await unlockedBy("a key service", rewrapped), context)).text(), "x");
});

test("a content key that was unlocked once opens without the passphrase", async () => {
  const passphrase = await Passphrase.create("a long one of several words", { memory: 64, passes: 1, lanes: 1 });
  const envelope = await seal("once", passphrase, context);
  const header = await inspect(envelope);
  const contentKey = await header.unlock(passphrase);
  passphrase.free();
  assert.equal((await open(envelope, contentKey, context)).text(), "once");
  await assert.rejects(header.unlock(await Identity.generate(kem)), refused("NotRecipient"));
});

test("a header and a body that are kept apart", async () => {
  const [alice, bob] = [await Identity.generate(kem), await Identity.generate(kem)];
  const envelope = await seal("apart", bob.recipient, context, { sign: alice });
  const { header, body } = await split(envelope);
  const opened = await openDetached(header, body, bob, context, { expect: alice.signer });
  assert.deepEqual([opened.text(), opened.signer.toString()], ["apart", alice.signer.toString()]);
  await assert.rejects(openDetached(envelope, body, bob, context), refused("Malformed"));
  await assert.rejects(openDetached(header, body.subarray(1), bob, context), refused("Rejected"));
  await assert.rejects(openDetached(header, body, bob, context, { expects: alice.signer }), refused("Misuse"));

  const carol = await Identity.generate(kem);
  const rewrapped = await rewrapHeader(header, body.subarray(0, 56), bob, context, [carol.recipient]);
  assert.equal((await open(join(rewrapped, body), carol, context, { expect: alice.signer })).text(), "apart");
  await assert.rejects(open(join(rewrapped, body), bob, context), refused("NotRecipient"));
  await assert.rejects(rewrapHeader(header, body.subarray(0, 55), bob, context, [carol.recipient]), refused("Truncated"));
  await assert.rejects(rewrapHeader(header, body, bob, new SealContext("notes", "18"), [carol.recipient]), refused("Rejected"));
  const { body: foreign } = await split(await seal("apart", bob.recipient, context));
  await assert.rejects(rewrapHeader(header, foreign, bob, context, [carol.recipient]), refused("Rejected"));
});

test("several parts under one header are opened each by its name", async () => {
  const [alice, bob] = [await Identity.generate(kem), await Identity.generate(kem)];
  const parts = { title: "Lunch", 2: new Uint8Array([1, 2, 3]), "": "nameless" };
  const { header, bodies } = await sealParts(parts, bob.recipient, context, { sign: alice });
  assert.deepEqual(Object.keys(bodies).sort(), Object.keys(parts).sort());
  for (const [part, payload] of Object.entries(parts)) {
    const opened = await openDetached(header, bodies[part], bob, context, { part, expect: alice.signer });
    assert.deepEqual(opened.plaintext, typeof payload === "string" ? new Uint8Array(Buffer.from(payload)) : payload);
  }
  await assert.rejects(openDetached(header, bodies.title, bob, context, { part: "2" }), refused("Rejected"));
  await assert.rejects(openDetached(header, bodies.title, bob, context), refused("Rejected"));
  await assert.rejects(sealParts(parts, bob.recipient, context, { part: "title" }), refused("Misuse"));
  await assert.rejects(sealParts({ ["x".repeat(256)]: "x" }, bob.recipient, context), refused("Misuse"));
});
