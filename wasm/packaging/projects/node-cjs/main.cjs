const { Identity, Recipient, SealContext, SealwireError, open, seal } = require("sealwire");

(async () => {
  const bob = await Identity.generate();
  const pasted = await Recipient.parse(bob.recipient.toString());
  const context = new SealContext("notes", "17");
  const envelope = await seal("Dear Bob", [pasted], context);
  await open(envelope, await Identity.generate(), context).catch((error) => {
    if (!(error instanceof SealwireError) || error.code !== "NotRecipient") throw error;
  });
  console.log((await open(envelope, bob, context)).text());
})();
