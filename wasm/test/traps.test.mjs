// What happens after a panic and without memory. Needs the build with traps: `./build --traps`; the shipped module has none (last test).

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Identity, Recipient, SealContext, SealedBlob, SealwireError, open, openStream, seal, sealStream } from "../dist-traps/esm/node.js";
import * as glue from "../dist-traps/esm/glue/sealwire.js";
import { run } from "../dist-traps/esm/module.js";

const context = new SealContext("notes", "17");
const refused = (code) => (error) => error instanceof SealwireError && error.code === code;

for (const [what, trap] of [["a panic", () => glue.trap_panic()], ["no memory", () => glue.trap_out_of_memory()]]) {
  test(`after ${what} a fresh instance takes over`, async () => {
    const bob = await Identity.generate();
    const recipient = bob.recipient;
    const parsed = await Recipient.parse(recipient.toString());
    const secret = new TextDecoder().decode(bob.reveal());
    const envelope = await seal("before", recipient, context);
    const blob = await SealedBlob.open(new Blob([envelope]), bob, context);
    const halfway = sealStream(recipient, context);
    const writer = halfway.writable.getWriter();
    await writer.ready;
    const drained = halfway.readable.getReader();
    const [, first] = await Promise.all([writer.write(new Uint8Array(40_000)), drained.read()]);
    assert.ok(first.value.length > 0);

    await assert.rejects(run(trap), refused("internal"));

    // What lived in it answers with a named error, every time.
    for (let i = 0; i < 2; i++) {
      await assert.rejects(open(envelope, bob, context), refused("stale"));
      await assert.rejects(seal("x", recipient, context, { sign: bob }), refused("stale"));
      assert.throws(() => bob.reveal(), refused("stale"));
    }
    await assert.rejects(Promise.all([writer.write(new Uint8Array(40_000)), drained.read()]), refused("stale"));
    bob.free();
    bob.free();
    // Its key went to the platform's cipher when it was opened, so it does not live in the module.
    assert.deepEqual(await blob.read(0, 1), new TextEncoder().encode("b"));

    // What is public lives on, and the next calls work.
    const again = await Identity.parse(secret);
    assert.equal((await open(envelope, again, context)).text(), "before");
    for (const to of [recipient, parsed]) {
      const after = await seal("after", to, context);
      assert.equal((await open(after, again, context)).text(), "after");
    }
    const opening = openStream(again, context);
    const streamed = await new Response(new Blob([envelope]).stream().pipeThrough(opening)).text();
    assert.equal(streamed, "before");
  });
}

test("calls that were under way beside a trap fail with a named error or work", async () => {
  const bob = await Identity.generate();
  const payload = new Uint8Array(32 << 20);
  const sealing = seal(payload, bob.recipient, context, { aead: "ChaCha20Poly1305" }); // WebCrypto would not care.
  await assert.rejects(run(() => glue.trap_panic()), refused("internal"));
  await assert.rejects(sealing, refused("stale"));
  const again = await Identity.generate();
  const envelope = await seal(payload, again.recipient, context);
  assert.equal((await open(envelope, again, context)).plaintext.length, payload.length);
});

test("the shipped module has no traps", () => {
  for (const file of ["esm/glue/sealwire.js", "cjs/node.cjs", "cjs/inline.cjs"]) {
    assert.doesNotMatch(readFileSync(new URL(`../dist/${file}`, import.meta.url), "utf8"), /trap_/);
  }
});
