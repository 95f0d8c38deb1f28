// The worker that `node.ts` starts for one run of Argon2, and ends.

import { parentPort, workerData } from "node:worker_threads";
import { run } from "./argon_run.js";

parentPort?.postMessage(run(workerData));
