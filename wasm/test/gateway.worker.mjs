// A gateway in a worker: it is told signers and requests, and says who they are from.

import { parentPort } from "node:worker_threads";
import { Signer } from "sealwire";
import { createGateway } from "sealwire/server";

let gateway;
parentPort.on("message", async ({ n, origin, signers, method, url, fields, body }) => {
  if (origin) {
    const verify = { signers: await Promise.all(signers.map((text) => Signer.parse(text))) };
    gateway = await createGateway({ origin, verify, plain: ["/health", "/.well-known/sealwire-keys"] });
    parentPort.postMessage({ n });
    return;
  }
  const request = new Request(url, { method, headers: fields, body });
  const verified = await gateway.verify(request);
  if (verified instanceof Response) {
    parentPort.postMessage({ n, status: verified.status, refusal: [[...verified.headers], await verified.text()] });
  }
  else parentPort.postMessage({ n, status: 200, signer: verified.signer?.toString() });
});
