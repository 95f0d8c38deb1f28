// The entry for Cloudflare's workers, which compile modules when they are deployed and never later.

import module from "./glue/sealwire_bg.wasm";
import { loadFrom } from "./module.js";

loadFrom(() => module);

export * from "./index.js";
