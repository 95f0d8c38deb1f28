// What both examples share: the service's identity and keys, from a folder, and whose signatures count.

import { Identity, Signer } from "sealwire";
import { ServiceKeys, createService } from "sealwire/server";
import { fileStore } from "./store.mjs";

export async function notesService(origin, { folder, signers, pages = [] }) {
  const store = fileStore(folder);
  const saved = await store.load("identity");
  const identity = saved ? await Identity.parse(new TextDecoder().decode(saved)) : await Identity.generate();
  if (!saved) await store.save("identity", identity.reveal());

  const keys = (await ServiceKeys.load(store, "keys")) ?? (await ServiceKeys.generate());
  await keys.save(store, "keys");
  // Once a day, in one process.
  setInterval(async () => {
    keys.rotate();
    await keys.save(store, "keys");
  }, 24 * 3600 * 1000).unref();

  const service = await createService({
    origin,
    keys,
    identity,
    verify: { signers: await Promise.all(signers.map((text) => Signer.parse(text))) },
    plain: ["/health"],
    allowOrigins: pages,
  });
  return { service, pin: identity.recipient.pin };
}
