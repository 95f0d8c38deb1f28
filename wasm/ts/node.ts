// The entry for Node: modules are files beside this one.

import { createCipheriv, createDecipheriv, getCipherInfo } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import { cipherWith } from "./chunks.js";
import { loadFrom } from "./module.js";
import { stretchWith } from "./stretch.js";

const compile = async (url: URL) => WebAssembly.compile(await readFile(url));

loadFrom(() => compile(new URL("./glue/sealwire_bg.wasm", import.meta.url)));

stretchWith(() => compile(new URL("./glue/argon_bg.wasm", import.meta.url)), async (job) => {
  const worker = new Worker(new URL("./argon_node.js", import.meta.url), { workerData: job, execArgv: [] });
  try {
    return await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject).once("exit", reject));
  } finally {
    void worker.terminate();
  }
});

// Without a promise and a task of a thread pool for each 16 KiB, which cost more than the encryption.
cipherWith((aead, direction, key) => {
  const name = aead === "Aes256Gcm" ? "aes-256-gcm" : "chacha20-poly1305";
  if (getCipherInfo(name) === undefined) return undefined;
  const options = { authTagLength: 16 };
  if (direction === "seal") {
    return (nonce, from, to) => {
      const cipher = createCipheriv(name as "chacha20-poly1305", key, nonce, options);
      to.set(cipher.update(from));
      cipher.final();
      to.set(cipher.getAuthTag(), from.length);
      return true;
    };
  }
  return (nonce, from, to) => {
    const decipher = createDecipheriv(name as "chacha20-poly1305", key, nonce, options);
    decipher.setAuthTag(from.subarray(to.length));
    const text = decipher.update(from.subarray(0, to.length));
    try {
      decipher.final();
      to.set(text);
      return true;
    } catch {
      return false;
    } finally {
      text.fill(0);
    }
  };
});

export * from "./index.js";
