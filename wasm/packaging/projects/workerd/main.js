import { Identity, Passphrase, SealContext, open, seal } from "sealwire";

export default {
  async fetch(request) {
    const bob = await Identity.generate();
    const context = new SealContext("notes", "17");
    const passphrase = await Passphrase.create("Argon2 here, too", { memory: 64, passes: 1, lanes: 1 });
    const envelope = await seal(await request.text(), [bob.recipient, passphrase], context);
    await open(envelope, passphrase, context);
    return new Response((await open(envelope, bob, context)).text());
  },
};
