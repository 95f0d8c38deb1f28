// The entry for Node: the module is a file beside this one.

import { readFile } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import { loadFrom } from "./module.js";
import { stretchIn } from "./stretch.js";

loadFrom(async () => WebAssembly.compile(await readFile(new URL("./glue/sealwire_bg.wasm", import.meta.url))));

stretchIn((job) =>
  new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./argon_node.js", import.meta.url), { workerData: job, execArgv: [] });
    worker.once("message", (answer) => {
      resolve(answer);
      void worker.terminate();
    });
    worker.once("error", reject);
    worker.once("exit", reject);
  }),
);

export * from "./index.js";
