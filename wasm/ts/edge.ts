// The entry for runtimes that compile no WebAssembly while they run and whose bundlers give the module instead: Next's edge runtime.

// @ts-expect-error: the bundler makes it a WebAssembly.Module.
import module from "./glue/sealwire_bg.wasm?module";
import { loadFrom } from "./module.js";

loadFrom(() => module as WebAssembly.Module);

export * from "./index.js";
