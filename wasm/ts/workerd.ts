// The entry for Cloudflare's workers, which compile modules when they are deployed and never later.

import argon from "./glue/argon_bg.wasm";
import module from "./glue/sealwire_bg.wasm";
import { loadFrom } from "./module.js";
import { stretchWith } from "./stretch.js";

loadFrom(() => module);
stretchWith(() => argon);

export * from "./index.js";
