import { Identity, SealContext, open, seal } from "sealwire";

export default {
  async fetch(request) {
    const bob = await Identity.generate();
    const context = new SealContext("notes", "17");
    const envelope = await seal(await request.text(), [bob.recipient], context);
    return new Response((await open(envelope, bob, context)).text());
  },
};
