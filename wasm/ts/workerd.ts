// The entry for Cloudflare's workers, which compile no WebAssembly while they run: there an import of a .wasm file is a module.

// @ts-expect-error: the runtime makes it a WebAssembly.Module.
import module from "./glue/sealwire_bg.wasm";
import { loadFrom } from "./module.js";

loadFrom(() => module as WebAssembly.Module);

export * from "./index.js";
