// The entry with the modules inside, gzipped and in base64: for pages and runtimes that have no second file.

import { loadFrom } from "./module.js";
import { stretchWith } from "./stretch.js";
import { argon, sealwire } from "./glue/inlined.js";

async function compile(base64: string): Promise<WebAssembly.Module> {
  const packed = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return WebAssembly.compile(await new Response(unpacked).arrayBuffer());
}

loadFrom(() => compile(sealwire));
stretchWith(() => compile(argon));

export * from "./index.js";
