// The entry for Node: the module is a file beside this one.

import { readFile } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import { loadFrom } from "./module.js";
import { stretchIn } from "./stretch.js";

loadFrom(async () => WebAssembly.compile(await readFile(new URL("./glue/sealwire_bg.wasm", import.meta.url))));

stretchIn(async (job) => {
  const worker = new Worker(new URL("./argon_node.js", import.meta.url), { workerData: job, execArgv: [] });
  try {
    return await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject).once("exit", reject));
  } finally {
    void worker.terminate();
  }
});

export * from "./index.js";
