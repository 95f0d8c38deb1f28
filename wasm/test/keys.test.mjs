import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect as show } from "node:util";
import {
  Identity, Keyring, Passphrase, Pin, Recipient, SealContext, SealwireError, Signer, SymmetricKey, fromText, inspect, join, open, reseal,
  rewrap, seal, split, toText,
} from "../dist/esm/node.js";

const context = new SealContext("notes", "17");
const refused = (code) => (error) => error instanceof SealwireError && error.code === code;

test("nothing that prints, serialises or clones a key shows it", async () => {
  const identity = await Identity.generate();
  const secret = new TextDecoder().decode(identity.reveal());
  assert.match(secret, /^sealwire-identity1/);
  const key = await SymmetricKey.fromBytes(new Uint8Array(32).fill(0xab));
  const passphrase = await Passphrase.create("correct horse battery staple");
  for (const one of [identity, key, passphrase, new Keyring(identity, key, passphrase)]) {
    for (const text of [String(one), JSON.stringify(one), show(one, { depth: 9, showHidden: true }), JSON.stringify(structuredClone({ one }))]) {
      assert.doesNotMatch(text, /identity1|horse|abab|171/);
    }
  }
});

test("nor what was opened, whichever way it was", async () => {
  const identity = await Identity.generate({ kem: "X25519" });
  for (const length of [8, 10_000, 100_000]) {
    const payload = "secret! ".repeat(length / 8);
    const opened = await open(await seal(payload, identity.recipient, context, { sign: identity }), identity, context);
    const bytes = new TextEncoder().encode(payload);
    assert.deepEqual([opened.text(), new Uint8Array(opened.plaintext)], [payload, bytes]);
    // As in the state of Vue or MobX.
    const observed = new Proxy(opened, { get: Reflect.get });
    assert.deepEqual([observed.text(), new Uint8Array(observed.plaintext)], [payload, bytes]);
    const { plaintext, signer, about } = opened;
    assert.deepEqual([plaintext, String(signer), about.addressedToMe], [opened.plaintext, String(identity.signer), "yes"]);
    for (const one of [opened, { list: [opened] }, { ...opened }, structuredClone(opened)]) {
      for (const text of [String(one), JSON.stringify(one), show(one, { depth: 9, showHidden: true })]) {
        assert.doesNotMatch(text, /secret|115, ?101|115,\s*"1":|"0":/, text.slice(0, 200));
      }
    }
  }
});

test("a freed key is Misuse, and freeing twice is nothing", async () => {
  const identity = await Identity.generate();
  const envelope = await seal("x", identity.recipient, context);
  identity[Symbol.dispose]?.();
  identity.free();
  identity.free();
  await assert.rejects(open(envelope, identity, context), refused("Misuse"));
  assert.throws(() => identity.reveal(), refused("Misuse"));
});

test("public halves are texts", async () => {
  const bob = await Identity.generate({ kem: "X25519" });
  const { recipient } = bob;
  const parsed = await Recipient.parse(String(recipient));
  assert.ok(parsed.equals(recipient) && parsed.fingerprint.equals(recipient.fingerprint) && parsed.signer.equals(bob.signer));
  assert.equal(parsed.kem, "X25519");
  assert.equal(JSON.stringify({ recipient }), JSON.stringify({ recipient: String(recipient) }));
  assert.match(String(recipient.fingerprint), /^([0-9a-f]{4} ){7}[0-9a-f]{4}$/);
  (await Pin.parse(String(recipient.pin))).check(parsed);
  const other = (await Identity.generate()).recipient;
  assert.throws(() => recipient.pin.check(other), refused("InvalidKey"));
  assert.ok((await Signer.parse(String(bob.signer))).equals(bob.signer));
  assert.equal(bob.signer.keyId.length, 43);
  await assert.rejects(Recipient.parse(String(recipient).replace(/.$/, "b")), refused("InvalidKey"));
  await assert.rejects(Signer.parse("00"), refused("InvalidKey"));
  const [first, second] = await Identity.parseFile(`# mine\n${text(bob)}\n\n${text(bob)}\n`);
  assert.ok(first.recipient.equals(recipient) && second.recipient.equals(recipient));
});

test("every kind of reader, and who is taken off the list", async () => {
  const [old, bob, carol] = [await Identity.generate(), await Identity.generate(), await Identity.generate()];
  const passphrase = await Passphrase.create("correct horse", { memory: 8, passes: 1, lanes: 1 });
  const key = await SymmetricKey.generate();
  const envelope = await seal("to all", [old.recipient, { anonymous: bob.recipient }, passphrase, key], context);
  for (const keys of [old, bob, passphrase, key, new Keyring(carol, old)]) {
    assert.equal((await open(envelope, keys, context)).text(), "to all");
  }
  await assert.rejects(open(envelope, carol, context), refused("NotRecipient"));

  const header = await inspect(envelope);
  assert.deepEqual(header.unverifiedSlots.map((slot) => slot.kind), ["hpke", "hpke", "passphrase", "symmetric"]);
  assert.equal(header.unverifiedSlots[0].hint.length, 4);
  assert.equal(header.unverifiedSlots[1].hint, undefined);
  assert.deepEqual(header.unverifiedSlots[3].keyId, key.id);

  const rewrapped = await rewrap(envelope, old, context, [carol.recipient]);
  assert.equal((await open(rewrapped, carol, context)).text(), "to all");
  await assert.rejects(open(rewrapped, bob, context), refused("NotRecipient"));
  await assert.rejects(rewrap(envelope, old, new SealContext("notes", "18"), [carol.recipient]), refused("Rejected"));
  const resealed = await reseal(envelope, old, context, [carol.recipient]);
  assert.notDeepEqual((await inspect(resealed)).unverifiedId, header.unverifiedId);
  const signed = await seal("signed", bob.recipient, context, { sign: old });
  await assert.rejects(reseal(signed, bob, context, carol.recipient), refused("Misuse"));
  assert.ok((await open(await reseal(signed, bob, context, carol.recipient, { sign: bob }), carol, context)).signer.equals(bob.signer));
});

test("what was said about a payload comes back exactly", async () => {
  const bob = await Identity.generate();
  const said = {
    metadata: { version: 2n ** 64n - 1n, small: 3, text: "ä", bytes: Uint8Array.of(0, 255), __proto__: "x" },
    created: 1_700_000_000, contentType: "text/plain", filename: "a.txt", part: "first", aead: "Aes256Gcm", padding: "none",
  };
  const envelope = await seal("x", bob.recipient, context, said);
  const { about } = await open(envelope, bob, context, { part: "first" });
  assert.deepEqual(about.metadata, new Map([["bytes", Uint8Array.of(0, 255)], ["small", 3], ["text", "ä"], ["version", 2n ** 64n - 1n]]));
  assert.equal(about.version, 2n ** 64n - 1n);
  assert.deepEqual([about.created, about.contentType, about.filename], [said.created, said.contentType, said.filename]);
  const header = await inspect(envelope);
  assert.deepEqual([header.unverifiedAead, header.unverifiedPadded], ["Aes256Gcm", false]);
  await assert.rejects(open(envelope, bob, context), refused("Rejected"));
});

test("what no caller should do is Misuse", async () => {
  const bob = await Identity.generate();
  const classical = await Identity.generate({ kem: "X25519" });
  await assert.rejects(seal("x", [], context), refused("Misuse"));
  await assert.rejects(seal("x", [bob], context), refused("Misuse")); // an identity is no recipient
  await assert.rejects(seal("x", [bob.recipient, classical.recipient], context), refused("Misuse"));
  assert.ok(await seal("x", [bob.recipient, classical.recipient], context, { allowClassical: true }));
  await assert.rejects(seal("half \ud800", bob.recipient, context), refused("Misuse"));
  await assert.rejects(seal([1, 2], bob.recipient, context), refused("Misuse"));
  await assert.rejects(seal("x", bob.recipient, new SealContext("")), refused("Misuse"));
  assert.throws(() => new SealContext("n", -1), refused("Misuse"));
  assert.throws(() => new SealContext("n", 2 ** 53), refused("Misuse"));
  assert.throws(() => new SealContext("n", 2n ** 64n), refused("Misuse"));
  await assert.rejects(seal("x", bob.recipient, context, { metadata: { version: "1" } }), refused("Misuse"));
  await assert.rejects(seal("x", bob.recipient, context, { aead: "DES" }), refused("Misuse"));
  await assert.rejects(Identity.generate({ kem: "RSA" }), refused("Misuse"));
  await assert.rejects(open("text", bob, context), refused("Misuse"));
  const expectNobody = open(await seal("x", bob.recipient, context, { sign: bob }), bob, context, { expect: [] });
  await assert.rejects(expectNobody, refused("Rejected"));
  await assert.rejects((async () => (await open(await seal(Uint8Array.of(255), bob.recipient, context), bob, context)).text())(), refused("Malformed"));
});

test("envelopes as text, and in two", async () => {
  const bob = await Identity.generate();
  const envelope = await seal("x", bob.recipient, context);
  const text = await toText(envelope);
  assert.equal(text, Buffer.from(envelope).toString("base64url"));
  assert.deepEqual(await fromText(text), envelope);
  await assert.rejects(fromText(`${text}=`), refused("Malformed"));
  const { header, body } = await split(envelope);
  assert.equal(header.length, (await inspect(envelope)).length);
  assert.deepEqual(join(header, body), envelope);
});

const text = (identity) => new TextDecoder().decode(identity.reveal());
