// Payloads whose chunks the platform encrypts, Node's AEADs or WebCrypto's: the same envelopes and the same codes as from the module alone.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import * as node from "../dist/esm/node.js";
import * as nodeOutside from "../dist/esm/outside.js";
import * as nodeStretch from "../dist/esm/stretch.js";
import * as web from "../dist/web/inline.js";
import * as webOutside from "../dist/web/outside.js";
import * as webStretch from "../dist/web/stretch.js";

const CHUNK = 16_384;
const payloadOf = (length) => Uint8Array.from({ length }, (_, i) => i % 251);
/** Memory that WebCrypto refuses, so that the module does all of it. */
const sharedOf = (bytes) => {
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
  shared.set(bytes);
  return shared;
};

for (const [platform, sealwire, outside] of [["Node", node, { ...nodeOutside, ...nodeStretch }], ["WebCrypto", web, { ...webOutside, ...webStretch }]]) {
  const openOutside = (envelope, keys, of, options) => outside.unlocking(keys, (keys) => outside.openOutside(envelope, keys, of, options));
  const {
    Identity, Keyring, Passphrase, SealContext, SealedBlob, SealwireError, Signer, SymmetricKey,
    inspect, open, openStream, reseal, seal, sealStream,
  } = sealwire;
  const context = new SealContext("outside");
  const alice = await Identity.generate();
  const bob = await SymmetricKey.generate();

  const codeOf = (error) => {
    if (error instanceof SealwireError) return error.code;
    throw error;
  };
  /** The platform at any length, where the package takes it for large payloads only. */
  const openBoth = async (envelope, keys, of, options = {}) => {
    const [outside, inside] = await Promise.all([
      openOutside(envelope, keys, of, options).then(({ plaintext, signer }) => ({ plaintext, signer: signer?.toString() }), codeOf),
      open(sharedOf(envelope), keys, of, options).then(({ plaintext, signer }) => ({ plaintext, signer: signer?.toString() }), codeOf),
    ]);
    assert.deepEqual(outside, inside);
    return outside;
  };

  test(`${platform}: every vector comes to the same as in Rust`, async () => {
    const folder = new URL("../../tests/vectors/envelope/", import.meta.url).pathname;
    let count = 0;
    for (const name of readdirSync(folder)) {
      const vector = parsed(readFileSync(folder + name, "utf8"));
      if (vector.operation !== "open" || !/^[\w-]*$/.test(vector.envelope)) continue;
      const envelope = new Uint8Array(Buffer.from(vector.envelope, "base64url"));
      const outcome = await openVector(envelope, vector).catch(codeOf);
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

  test(`${platform}: what the platform seals the module opens, and the other way round`, async () => {
    for (const length of [0, 1, 255, CHUNK - 80, CHUNK - 72, CHUNK, 3 * CHUNK - 72, 70_000, 1_000_000]) {
      const payload = payloadOf(length);
      for (const sign of [undefined, alice]) {
        for (const [padding, aead] of [["padme", "Aes256Gcm"], ["none", "Aes256Gcm"], ["padme", "ChaCha20Poly1305"]]) {
          const options = { sign, padding, aead };
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

  test(`${platform}: what is altered or cut is refused with the same code`, async () => {
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

  test(`${platform}: large payloads take AES-256-GCM where nothing else was asked for, small ones never do`, async () => {
    const aeadOf = async (payload, options) => (await inspect(await seal(payload, bob, context, options))).unverifiedAead;
    assert.equal(await aeadOf(payloadOf(1 << 16)), "Aes256Gcm");
    assert.equal(await aeadOf(payloadOf((1 << 16) - 1)), "ChaCha20Poly1305");
    assert.equal(await aeadOf(payloadOf(1 << 20), { aead: "ChaCha20Poly1305" }), "ChaCha20Poly1305");
    assert.equal(await aeadOf(payloadOf(1), { aead: "Aes256Gcm" }), "Aes256Gcm");
  });

  // Of Node's own ciphers nothing can be watched.
  const ofWebCrypto = platform === "WebCrypto" ? test : () => {};
  ofWebCrypto(`${platform}: nothing of a payload stays behind when its end was altered, and the key cannot be read out`, async (t) => {
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

  test(`${platform}: a payload that its caller takes away meanwhile is no envelope`, async () => {
    const payload = new Uint8Array(1 << 20);
    const sealing = seal(payload, bob, context);
    structuredClone(payload.buffer, { transfer: [payload.buffer] });
    await assert.rejects(sealing, { code: "Misuse" });
  });

  /** An envelope's bytes in pieces. */
  const pieced = (bytes, size) =>
    new ReadableStream({
      start(controller) {
        for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.subarray(at, at + size));
        controller.close();
      },
    });
  const all = async (stream) => new Uint8Array(await new Response(stream).arrayBuffer());

  for (const aead of ["Aes256Gcm", "ChaCha20Poly1305"]) {
    test(`${platform}, ${aead}: streams, random access and reseal come to the same as one call`, async (t) => {
      const decrypt = t.mock.method(crypto.subtle, "decrypt");
      const chloe = await SymmetricKey.generate();
      for (const [length, size] of [[9_000, 1_000], [CHUNK, CHUNK], [200_000, 65_536], [1_000_001, 400_000]]) {
        const payload = payloadOf(length);
        for (const options of [{ aead }, { aead, length }, { aead, length, sign: alice }]) {
          const envelope = await all(pieced(payload, size).pipeThrough(sealStream(bob, context, options)));
          assert.equal((await inspect(envelope)).unverifiedAead, aead);
          // The module alone is the second opinion.
          const { plaintext, signer } = await open(sharedOf(envelope), bob, context);
          assert.deepEqual(plaintext, payload);
          assert.equal(signer?.toString(), options.sign?.signer.toString());
          const opening = openStream(bob, context);
          assert.deepEqual(await all(pieced(envelope, size + 5).pipeThrough(opening)), payload);
          assert.equal((await opening.finished).signer?.toString(), options.sign?.signer.toString());
          const blob = await SealedBlob.open(new Blob([envelope]), bob, context);
          assert.deepEqual(await blob.read(0, length), payload);
          assert.deepEqual(await blob.read(length - 2, length), payload.subarray(length - 2));
          const resealed = await reseal(envelope, bob, context, chloe, options.sign ? { sign: alice } : {});
          assert.equal((await inspect(resealed)).unverifiedAead, aead);
          assert.deepEqual((await open(sharedOf(resealed), chloe, context)).plaintext, payload);
        }
      }
      assert.equal(decrypt.mock.callCount() > 0, platform === "WebCrypto" && aead === "Aes256Gcm");
    });

    test(`${platform}, ${aead}: chunks that are altered, swapped, missing or of another envelope are refused everywhere`, async () => {
      const payload = payloadOf(200_000);
      const options = { aead, padding: "none" };
      const envelope = await seal(payload, bob, context, options);
      const other = await seal(payload, bob, context, options);
      const front = envelope.length - (payload.length + 13 * 16);
      const at = (i) => front + i * (CHUNK + 16);
      const chunk = (of, i) => of.subarray(at(i), at(i + 1));
      const joined = (...parts) => new Uint8Array(Buffer.concat(parts));
      const head = envelope.subarray(0, front);
      const flipped = envelope.slice();
      flipped[at(5) + 77] ^= 4;
      const cases = {
        flipped,
        swapped: joined(envelope.subarray(0, at(2)), chunk(envelope, 3), chunk(envelope, 2), envelope.subarray(at(4))),
        repeated: joined(envelope.subarray(0, at(3)), chunk(envelope, 2), envelope.subarray(at(3))),
        missing: joined(envelope.subarray(0, at(3)), envelope.subarray(at(4))),
        foreign: joined(envelope.subarray(0, at(3)), chunk(other, 3), envelope.subarray(at(4))),
        "other body": joined(head, other.subarray(front)),
        "cut at a chunk": envelope.subarray(0, at(12)),
        "cut in a chunk": envelope.subarray(0, at(11) + 100),
        "cut in a tag": envelope.subarray(0, envelope.length - 3),
        longer: joined(envelope, new Uint8Array(20)),
      };
      for (const [what, altered] of Object.entries(cases)) {
        const expected = await open(sharedOf(altered), bob, context).then(() => "ok", codeOf);
        assert.ok(["Rejected", "Truncated"].includes(expected), what);
        assert.equal(await open(altered, bob, context).then(() => "ok", codeOf), expected, `${what}: open`);
        assert.equal(await reseal(altered, bob, context, bob).then(() => "ok", codeOf), expected, `${what}: reseal`);
        const opening = openStream(bob, context);
        const reader = pieced(altered, 50_000).pipeThrough(opening).getReader();
        let got = 0;
        const streamed = await (async () => {
          for (let read = await reader.read(); !read.done; read = await reader.read()) {
            assert.deepEqual(read.value, payload.subarray(got, got + read.value.length), `${what}: only what was authenticated`);
            got += read.value.length;
          }
          return "ok";
        })().catch(codeOf);
        assert.equal(streamed, expected, `${what}: stream`);
        await assert.rejects(opening.finished, { code: expected });
        const blob = SealedBlob.open(new Blob([altered]), bob, context);
        const read = await blob.then((blob) => blob.read(0, blob.size)).then(() => "ok", codeOf);
        assert.equal(read, expected, `${what}: blob`);
      }
    });
  }

  test(`${platform}: a resealed envelope keeps what was said about it, and is signed anew or not at all`, async () => {
    const said = { metadata: { version: 4 }, created: 7, contentType: "text/plain", filename: "a.txt", padding: "none" };
    const envelope = await seal(payloadOf(100_000), bob, context, { ...said, sign: alice });
    await assert.rejects(reseal(envelope, bob, context, bob), { code: "Misuse" });
    const resealed = await reseal(envelope, bob, context, bob, { sign: alice, filename: "b.txt" });
    const { about, signer } = await open(resealed, bob, context);
    assert.deepEqual([about.version, about.created, about.contentType, about.filename], [4, 7, "text/plain", "b.txt"]);
    assert.equal(signer.toString(), alice.signer.toString());
    assert.equal((await inspect(resealed)).unverifiedPadded, false);
    const other = await Identity.generate();
    await assert.rejects(reseal(envelope, bob, context, bob, { sign: alice, expect: other.signer }), { code: "Rejected" });
  });

  test(`${platform}: a passphrase opens a stream and a blob`, async () => {
    const costs = { memory: 8, passes: 1, lanes: 1 };
    const passphrase = await Passphrase.create("correct horse", costs);
    const payload = payloadOf(40_000);
    const envelope = await all(pieced(payload, 9_000).pipeThrough(sealStream(passphrase, context)));
    const again = await Passphrase.create("correct horse");
    assert.deepEqual(await all(pieced(envelope, 9_000).pipeThrough(openStream(again, context))), payload);
    assert.equal((await SealedBlob.open(new Blob([envelope]), again, context)).size, payload.length);
    const wrong = openStream(await Passphrase.create("wrong"), context);
    await assert.rejects(all(pieced(envelope, 9_000).pipeThrough(wrong)), { code: "NotRecipient" });
    await assert.rejects(wrong.about, { code: "NotRecipient" });
  });

  test(`${platform}: an envelope that arrives byte by byte`, async () => {
    const payload = payloadOf(300);
    for (const options of [{}, { length: 300, sign: alice }]) {
      const envelope = await all(pieced(payload, 1).pipeThrough(sealStream(bob, context, options)));
      assert.deepEqual(await all(pieced(envelope, 1).pipeThrough(openStream(bob, context))), payload);
    }
  });
}
