import assert from "node:assert/strict";
import { test } from "node:test";
import { Identity, SealContext, SealedBlob, SealwireError, open, openStream, seal, sealStream } from "../dist/esm/node.js";

const context = new SealContext("uploads", 7);
const [alice, bob] = [await Identity.generate({ kem: "X25519" }), await Identity.generate({ kem: "X25519" })];
const refused = (code) => (error) => error instanceof SealwireError && error.code === code;
const counted = (length) => Uint8Array.from({ length }, (_, at) => (at * 7 + (at >> 8)) % 251);
const whole = async (stream) => new Uint8Array(await new Response(stream).arrayBuffer());

/** A stream of `bytes` in pieces of `size`. */
function pieces(bytes, size) {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at < bytes.length) controller.enqueue(bytes.subarray(at, (at += size)));
      if (at >= bytes.length) controller.close();
    },
  });
}

for (const [length, size] of [[0, 1], [1, 1], [16_384, 16_384], [16_385, 1000], [100_000, 7919], [5_000_000, 3_000_000]]) {
  test(`a stream of ${length} bytes in pieces of ${size}: sealed, opened, read at random`, async () => {
    const payload = counted(length);
    for (const options of [{}, { length }, { sign: alice }, { length, sign: alice, padding: "none" }]) {
      const envelope = await whole(pieces(payload, size).pipeThrough(sealStream(bob.recipient, context, options)));
      const opening = openStream(bob, context, options.sign ? { expect: alice.signer } : {});
      assert.deepEqual(await whole(pieces(envelope, size + 1).pipeThrough(opening)), payload);
      const { signer, about } = await opening.finished;
      assert.equal(signer?.toString(), options.sign && alice.signer.toString());
      assert.deepEqual(await opening.about, about);
      // One-shot and random access read the same bytes.
      assert.deepEqual((await open(envelope, bob, context)).plaintext, payload);
      const blob = await SealedBlob.open(new Blob([envelope]), bob, context);
      assert.equal(blob.size, length);
      for (const [from, to] of [[0, 0], [0, length], [length, length], [Math.floor(length / 3), Math.ceil(length / 2)]]) {
        assert.deepEqual(await blob.read(from, to), payload.subarray(from, to));
      }
      assert.deepEqual(await whole(blob.stream()), payload);
    }
  });
}

test("one call and a stream of known length are padded alike", async () => {
  for (const length of [0, 1000, 6_000_000]) {
    const once = await seal(counted(length), bob.recipient, context, { aead: "ChaCha20Poly1305" });
    const streamed = await whole(pieces(counted(length), 10_000).pipeThrough(sealStream(bob.recipient, context, { length })));
    assert.equal(streamed.length, once.length);
  }
});

test("a large payload goes through one call, and an altered one gives nothing", async () => {
  const payload = counted(9_000_000);
  const envelope = await seal(payload, bob.recipient, context, { sign: alice });
  const opened = await open(envelope, bob, context, { expect: alice.signer });
  assert.deepEqual(opened.plaintext, payload);
  assert.equal(opened.plaintext.buffer.byteLength, payload.length);
  envelope[envelope.length - 1] ^= 1;
  await assert.rejects(open(envelope, bob, context), refused("Rejected"));
  await assert.rejects(open(envelope.subarray(0, 5_000_000), bob, context), refused("Rejected"));
});

test("an altered or cut stream fails, and gives what was authenticated at most", async () => {
  const payload = counted(100_000);
  const envelope = await whole(pieces(payload, 4096).pipeThrough(sealStream(bob.recipient, context)));
  const altered = envelope.slice();
  altered[60_000] ^= 1;
  for (const [bytes, code] of [[altered, "Rejected"], [envelope.subarray(0, 50_000), "Rejected"], [envelope.subarray(0, 100), "Truncated"]]) {
    const opening = openStream(bob, context);
    const reader = pieces(bytes, 1000).pipeThrough(opening).getReader();
    let got = 0;
    await assert.rejects(async () => {
      for (let read = await reader.read(); !read.done; read = await reader.read()) {
        assert.deepEqual(read.value, payload.subarray(got, got + read.value.length));
        got += read.value.length;
      }
    }, refused(code));
    assert.ok(got <= 49_152, `${got} bytes`);
    await assert.rejects(opening.finished, refused(code));
  }
});

test("a stream ends where its signal says, and at another length than was said", async () => {
  const reason = new Error("enough");
  for (const abortedBefore of [true, false]) {
    const controller = new AbortController();
    if (abortedBefore) controller.abort(reason);
    const sealing = sealStream(bob.recipient, context, { signal: controller.signal });
    const writer = sealing.writable.getWriter();
    const reader = sealing.readable.getReader();
    writer.write(counted(50_000)).catch(() => {});
    if (!abortedBefore) {
      await reader.read();
      controller.abort(reason);
    }
    await assert.rejects(reader.read(), reason);
    await assert.rejects(writer.closed, reason);
  }
  const opening = openStream(bob, context, { signal: AbortSignal.abort(reason) });
  await assert.rejects(opening.finished, reason);

  for (const length of [999, 1001]) {
    const sealing = sealStream(bob.recipient, context, { length });
    await assert.rejects(whole(pieces(counted(1000), 100).pipeThrough(sealing)), refused("Misuse"));
  }
});

test("random access refuses what is not within the payload, was altered, or ends too early", async () => {
  const envelope = await seal(counted(100_000), bob.recipient, context, { padding: "none" });
  const blob = await SealedBlob.open(new Blob([envelope]), bob, context);
  for (const [from, to] of [[-1, 5], [5, 4], [0, 100_001], [0.5, 2]]) await assert.rejects(blob.read(from, to), refused("Misuse"));
  const altered = envelope.slice();
  altered[altered.length - 50_000] ^= 1;
  const other = await SealedBlob.open(new Blob([altered]), bob, context);
  assert.deepEqual(await other.read(0, 100), counted(100));
  await assert.rejects(other.read(0, 100_000), refused("Rejected"));
  // Cut at a chunk: the last chunk of what is left is not the last one.
  await assert.rejects(SealedBlob.open(new Blob([envelope.subarray(0, envelope.length - 1)]), bob, context), refused("Rejected"));
  await assert.rejects(SealedBlob.open(new Blob([envelope.subarray(0, 50)]), bob, context), refused("Truncated"));
  await assert.rejects(SealedBlob.open(new Blob([]), bob, context), refused("Truncated"));
  const short = { size: envelope.length, read: async (start, end) => envelope.subarray(start, end - 1) };
  await assert.rejects(SealedBlob.open(short, bob, context), refused("Truncated"));
  blob.free();
  await assert.rejects(blob.read(0, 1), refused("Misuse"));
});

test("a side that is broken off or given up ends the other one, and what waits for the end", async () => {
  const envelope = await seal(counted(100_000), bob.recipient, context);
  const reason = new Error("cut");
  for (const [what, given] of [["abort", reason], ["abort"], ["cancel", reason], ["cancel"]]) {
    for (const stream of [openStream(bob, context), sealStream(bob.recipient, context)]) {
      const [writer, reader] = [stream.writable.getWriter(), stream.readable.getReader()];
      // The second write waits until somebody reads on.
      const writing = [writer.write(envelope.subarray(0, 60_000)), writer.write(envelope.subarray(60_000))];
      writing.forEach((write) => write.catch(() => {}));
      await reader.read();
      if (what === "cancel") await reader.cancel(given);
      else await Promise.all([writer.abort(given), reader.read().catch(() => {})]);
      const said = given === undefined ? refused("Truncated") : (error) => error === given;
      await assert.rejects(what === "cancel" ? writer.closed : reader.closed, said, what);
      if (stream.finished !== undefined) await assert.rejects(stream.finished, said, what);
    }
  }
});

test("aborting ends what is read at random, also where a source never answers", async () => {
  const envelope = await seal(counted(100_000), bob.recipient, context);
  let answers = true;
  const source = { size: envelope.length, read: async (start, end) => (answers ? envelope.subarray(start, end) : new Promise(() => {})) };
  const blob = await SealedBlob.open(source, bob, context);
  answers = false;
  const reason = new Error("enough");
  const read = (call) => {
    const abort = new AbortController();
    setTimeout(() => abort.abort(reason), 20);
    return assert.rejects(call({ signal: abort.signal }), (error) => error === reason);
  };
  await read((options) => blob.read(0, 10, options));
  await read((options) => blob.stream(0, 10, options).getReader().read());
  await read((options) => SealedBlob.open(source, bob, context, options));
  answers = true;
  assert.deepEqual(await blob.read(0, 10), counted(10));
  await assert.rejects(blob.read(0, 10, { signals: reason }), refused("Misuse"));
});
