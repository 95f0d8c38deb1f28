// The entry for browsers and workers: the module is a file beside this one, which bundlers find by this very expression.

import { loadFrom } from "./module.js";

loadFrom(async () => {
  const response = await fetch(new URL("./glue/sealwire_bg.wasm", import.meta.url));
  if (!response.ok) throw new Error(`status ${response.status}`);
  // A server that does not know the media type: compile what came.
  return response.headers.get("content-type")?.startsWith("application/wasm")
    ? WebAssembly.compileStreaming(response)
    : WebAssembly.compile(await response.arrayBuffer());
});

export * from "./index.js";
