// The web worker that `browser.ts` starts for one run of Argon2, and ends.

import { run } from "./argon_run.js";
import type { StretchJob } from "./stretch.js";

addEventListener("message", ({ data }: MessageEvent<StretchJob>) => postMessage(run(data)));
