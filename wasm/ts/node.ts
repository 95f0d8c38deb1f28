// The entry for Node: the module is a file beside this one.

import { readFile } from "node:fs/promises";
import { loadFrom } from "./module.js";

loadFrom(async () => WebAssembly.compile(await readFile(new URL("./glue/sealwire_bg.wasm", import.meta.url))));

export * from "./index.js";
