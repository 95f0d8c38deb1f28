// The entry for edge runtimes as Next.js has them, which compile modules when they are deployed and never later.

import module from "./glue/sealwire_bg.wasm?module";
import { loadFrom } from "./module.js";

loadFrom(() => module);

export * from "./index.js";
