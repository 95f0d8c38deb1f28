// The entry for edge runtimes as Next.js has them, which compile modules when they are deployed and never later.

import argon from "./glue/argon_bg.wasm?module";
import module from "./glue/sealwire_bg.wasm?module";
import { loadFrom } from "./module.js";
import { stretchWith } from "./stretch.js";

loadFrom(() => module);
stretchWith(() => argon);

export * from "./index.js";
