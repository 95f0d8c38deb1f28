// The entry with the module inside, gzipped and in base64: for pages and runtimes that have no second file.

import { loadFrom } from "./module.js";
import base64 from "./glue/inlined.js";

loadFrom(async () => {
  const packed = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return WebAssembly.compile(await new Response(unpacked).arrayBuffer());
});

export * from "./index.js";
