import { Identity, Recipient, SealContext, open, seal } from "sealwire";

const alice = await Identity.generate();
const bob = await Identity.generate();
const pasted = await Recipient.parse(bob.recipient.toString());
const context = new SealContext("notes", "17");
const envelope = await seal("Dear Bob", [pasted], context, { sign: alice });
const opened = await open(envelope, bob, context, { expect: alice.signer });

document.title = opened.text();
