// The entry for browsers and workers: the module is a file beside this one, which bundlers find by this very expression.

import { loadFrom } from "./module.js";
import { type StretchAnswer, stretchIn } from "./stretch.js";

loadFrom(async () => {
  const response = await fetch(new URL("./glue/sealwire_bg.wasm", import.meta.url));
  if (!response.ok) throw new Error(`status ${response.status}`);
  // A server that does not know the media type: compile what came.
  return response.headers.get("content-type")?.startsWith("application/wasm")
    ? WebAssembly.compileStreaming(response)
    : WebAssembly.compile(await response.arrayBuffer());
});

// Bundlers find the worker by this very expression, too. Where one does not, or a policy forbids it, Argon2 runs in this thread.
stretchIn(async (job) => {
  const worker = new Worker(new URL("./argon.js", import.meta.url), { type: "module" });
  try {
    return await new Promise<StretchAnswer>((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = worker.onmessageerror = reject;
      worker.postMessage(job);
    });
  } finally {
    worker.terminate();
  }
});

export * from "./index.js";
