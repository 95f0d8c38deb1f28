// Payloads whose chunks WebCrypto encrypts: the same envelopes and the same codes as from the module alone.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import {
  Identity, Keyring, Passphrase, SealContext, SealwireError, Signer, SymmetricKey, inspect, open, seal,
} from "../dist/esm/node.js";
import { openOutside } from "../dist/esm/outside.js";

const CHUNK = 16_384;
const context = new SealContext("outside");
const alice = await Identity.generate();
const bob = await SymmetricKey.generate();

const payloadOf = (length) => Uint8Array.from({ length }, (_, i) => i % 251);
const codeOf = (error) => {
  if (error instanceof SealwireError) return error.code;
  throw error;
};
/** Memory that WebCrypto refuses, so that the module does all of it. */
const sharedOf = (bytes) => {
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
  shared.set(bytes);
  return shared;
};
/** WebCrypto at any length, where the package takes it for large payloads only. */
const openBoth = async (envelope, keys, of, options = {}) => {
  const [outside, inside] = await Promise.all([
    openOutside(envelope, keys, of, options).then(({ plaintext, signer }) => ({ plaintext, signer: signer?.toString() }), codeOf),
    open(sharedOf(envelope), keys, of, options).then(({ plaintext, signer }) => ({ plaintext, signer: signer?.toString() }), codeOf),
  ]);
  assert.deepEqual(outside, inside);
  return outside;
};

test("every vector with AES-256-GCM comes to the same as in Rust, others are left to the module", async () => {
  const folder = new URL("../../tests/vectors/envelope/", import.meta.url).pathname;
  let count = 0;
  for (const name of readdirSync(folder)) {
    const vector = parsed(readFileSync(folder + name, "utf8"));
    if (vector.operation !== "open" || !/^[\w-]*$/.test(vector.envelope)) continue;
    const envelope = new Uint8Array(Buffer.from(vector.envelope, "base64url"));
    const outcome = await openVector(envelope, vector).catch(codeOf);
    if (outcome === undefined) {
      assert.equal((await inspect(envelope)).unverifiedAead, "ChaCha20Poly1305", name);
      continue;
    }
    count += 1;
    assert.equal(typeof outcome === "string" ? outcome : "ok", vector.expect, name);
    if (vector.expect !== "ok") continue;
    assert.equal(outcome.plaintext.length, vector.plaintext_len ?? vector.plaintext.length / 2, name);
    if (typeof vector.plaintext === "string") assert.equal(Buffer.from(outcome.plaintext).toString("hex"), vector.plaintext, name);
    assert.equal(outcome.signer?.toString() ?? null, vector.signer, name);
  }
  assert.ok(count >= 50, `only ${count} vectors`);
});

/** Integers of more than 15 digits are read as `bigint`. */
function parsed(text) {
  const marked = text.replace(/([:[,]\s*)(\d{16,})(?=\s*[,\]}])/g, '$1{"bigint":"$2"}');
  return JSON.parse(marked, (_, value) => (value?.bigint === undefined ? value : BigInt(value.bigint)));
}

async function openVector(envelope, { unlock, context: [namespace = "", ...fields], part, signers }) {
  const one = (key) =>
    key.identity !== undefined ? Identity.parse(key.identity)
    : key.passphrase !== undefined ? Passphrase.create(key.passphrase)
    : SymmetricKey.fromBytes(new Uint8Array(Buffer.from(key.key, "hex")));
  const several = unlock.keyring ?? unlock.identities?.map((identity) => ({ identity }));
  const keys = several ? new Keyring(...(await Promise.all(several.map(one)))) : await one(unlock);
  const of = new SealContext(
    namespace,
    ...fields.map((field) => (field?.hex === undefined ? field : new Uint8Array(Buffer.from(field.hex, "hex")))),
  );
  const expect = signers === null ? {} : { expect: await Promise.all(signers.map((signer) => Signer.parse(signer))) };
  return openOutside(envelope, keys, of, { part, ...expect });
}

test("what WebCrypto seals the module opens, and the other way round", async () => {
  for (const length of [0, 1, 255, CHUNK - 80, CHUNK - 72, CHUNK, 3 * CHUNK - 72, 70_000, 1_000_000]) {
    const payload = payloadOf(length);
    for (const sign of [undefined, alice]) {
      for (const padding of ["padme", "none"]) {
        const options = { sign, padding, aead: "Aes256Gcm" };
        const [outside, inside] = [await seal(payload, bob, context, options), await seal(sharedOf(payload), bob, context, options)];
        assert.equal(outside.length, inside.length);
        for (const envelope of [outside, inside]) {
          const opened = await openBoth(envelope, bob, context, sign ? { expect: alice.signer } : {});
          assert.deepEqual(opened, { plaintext: payload, signer: sign?.signer.toString() }, `${length} ${padding}`);
          assert.equal(opened.plaintext.buffer.byteLength, length, "a buffer of its own");
        }
      }
    }
  }
});

test("what is altered or cut is refused with the same code", async () => {
  const envelope = await seal(payloadOf(70_000), bob, context, { sign: alice });
  assert.equal((await inspect(envelope)).unverifiedAead, "Aes256Gcm");
  for (let at = 0; at < envelope.length; at += 997) {
    const altered = envelope.slice();
    altered[at] ^= 1;
    assert.equal(typeof (await openBoth(altered, bob, context)), "string", `byte ${at}`);
    assert.equal(typeof (await openBoth(envelope.slice(0, at), bob, context)), "string", `cut at ${at}`);
  }
  const other = await Identity.generate();
  assert.equal(await openBoth(envelope, bob, context, { expect: other.signer }), "Rejected");
  assert.equal(await openBoth(envelope, bob, new SealContext("outsider")), "Rejected");
  assert.equal(await openBoth(envelope, other, context), "NotRecipient");
});

test("large payloads take AES-256-GCM where nothing else was asked for, small ones never do", async () => {
  const aeadOf = async (payload, options) => (await inspect(await seal(payload, bob, context, options))).unverifiedAead;
  assert.equal(await aeadOf(payloadOf(1 << 16)), "Aes256Gcm");
  assert.equal(await aeadOf(payloadOf((1 << 16) - 1)), "ChaCha20Poly1305");
  assert.equal(await aeadOf(payloadOf(1 << 20), { aead: "ChaCha20Poly1305" }), "ChaCha20Poly1305");
  assert.equal(await aeadOf(payloadOf(1), { aead: "Aes256Gcm" }), "Aes256Gcm");
});

test("nothing of a payload stays behind when its end was altered, and the key cannot be read out", async (t) => {
  const envelope = await seal(new Uint8Array(200_000).fill(7), bob, context, { padding: "none" });
  envelope[envelope.length - 1 - 6 * (CHUNK + 16)] ^= 1;
  const written = new Set();
  const set = Uint8Array.prototype.set;
  t.mock.method(Uint8Array.prototype, "set", function (...given) {
    written.add(this.buffer);
    return set.apply(this, given);
  });
  const decrypt = t.mock.method(crypto.subtle, "decrypt");
  await assert.rejects(open(envelope, bob, context), { code: "Rejected" });
  assert.ok(decrypt.mock.callCount() > 1);
  for (const { arguments: [, key] } of decrypt.mock.calls) assert.equal(key.extractable, false);
  for (const { result } of decrypt.mock.calls) {
    const text = await result.catch(() => undefined);
    if (text !== undefined) assert.ok(new Uint8Array(text).every((byte) => byte === 0));
  }
  const payloads = [...written].filter((buffer) => buffer instanceof ArrayBuffer && buffer.byteLength === 200_000);
  assert.equal(payloads.length, 1);
  assert.ok(new Uint8Array(payloads[0]).every((byte) => byte === 0));
});

test("a payload that its caller takes away meanwhile is no envelope", async () => {
  const payload = new Uint8Array(1 << 20);
  const sealing = seal(payload, bob, context);
  structuredClone(payload.buffer, { transfer: [payload.buffer] });
  await assert.rejects(sealing, { code: "Misuse" });
});
