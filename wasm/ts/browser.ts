// The entry for browsers and workers: modules are files beside this one, which bundlers find by these very expressions.

import { loadFrom } from "./module.js";
import { type StretchAnswer, stretchWith } from "./stretch.js";

async function compile(url: URL): Promise<WebAssembly.Module> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`status ${response.status}`);
  // A server that does not know the media type: compile what came.
  return response.headers.get("content-type")?.startsWith("application/wasm")
    ? WebAssembly.compileStreaming(response)
    : WebAssembly.compile(await response.arrayBuffer());
}

loadFrom(() => compile(new URL("./glue/sealwire_bg.wasm", import.meta.url)));

// Bundlers find the worker by this very expression, too. Where one does not, or a policy forbids it, Argon2 runs in this thread.
stretchWith(() => compile(new URL("./glue/argon_bg.wasm", import.meta.url)), async (job) => {
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
