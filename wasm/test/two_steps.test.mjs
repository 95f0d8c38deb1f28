// Headers and bodies by themselves: unlocking in two steps, detached bodies, several parts. Slots are unlocked here by Node's own cryptography, as SPEC
// §4 says, not by this package.

import assert from "node:assert/strict";
import { createDecipheriv, hkdfSync } from "node:crypto";
import { test } from "node:test";
import {
  Header, Identity, Keyring, Passphrase, SealContext, SealwireError, SymmetricKey, inspect, join, open, openDetached, openStream, rewrap, rewrapHeader,
  seal, sealParts, split,
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
