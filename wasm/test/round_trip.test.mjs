import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import * as esm from "../dist/esm/node.js";
import * as inline from "../dist/esm/inline.js";

const require = createRequire(import.meta.url);
const copies = {
  "ESM, the module as a file": esm,
  "ESM, the module inlined": inline,
  "CommonJS, the module as a file": require("../dist/cjs/node.cjs"),
  "CommonJS, the module inlined": require("../dist/cjs/inline.cjs"),
};

for (const [name, { Identity, Recipient, SealContext, SealwireError, open, seal }] of Object.entries(copies)) {
  test(`${name}: what is sealed opens, for its readers and its context only`, async () => {
    const [alice, bob] = [await Identity.generate(), await Identity.generate()];
    const context = new SealContext("notes", "17");
    const toBob = await Recipient.parse(bob.recipient.toString());
    const envelope = await seal("meet me at noon", [toBob], context, { sign: alice, metadata: { version: 3 } });

    const opened = await open(envelope, bob, context, { expect: alice.signer });
    assert.equal(opened.text(), "meet me at noon");
    assert.ok(opened.signer.equals(alice.signer));
    assert.equal(opened.about.version, 3);
    assert.equal(opened.about.addressedToMe, "yes");

    const refused = (code) => (error) => error instanceof SealwireError && error.code === code;
    await assert.rejects(open(envelope, alice, context), refused("NotRecipient"));
    await assert.rejects(open(envelope, bob, new SealContext("notes", "18")), refused("Rejected"));
    await assert.rejects(open(envelope, bob, context, { expect: bob.signer }), refused("Rejected"));
  });
}
