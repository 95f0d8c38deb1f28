// The same measurements in Chromium, and what only a page has: the first call, and tasks that block it.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launch } from "../chromium.mjs";

const here = new URL(".", import.meta.url).pathname;

export async function inChromium({ quick }, say) {
  const folder = mkdtempSync(join(tmpdir(), "sealwire-bench-"));
  const server = await served(folder);
  const browser = await launch();
  try {
    const url = `http://localhost:${server.address().port}`;
    /** A page of its own, with nothing in its caches. */
    const inPage = async (run, ...given) => {
      const context = await browser.newContext();
      try {
        const page = await context.newPage();
        page.on("pageerror", (error) => say(String(error)));
        await page.goto(url);
        return await run(page, ...given);
      } finally {
        await context.close();
      }
    };
    say("Chromium: the first call");
    const first = [];
    for (let i = 0; i < (quick ? 1 : 9); i++) first.push(await inPage(firstCall));
    say("Chromium: tasks");
    const facts = [{ what: "the first call: fetch, compile, make an identity, seal 1 KiB", figure: `${median(first).toFixed(0)} ms` }];
    for (const aead of [undefined, "ChaCha20Poly1305"]) {
      const tasks = [];
      for (let i = 0; i < (quick ? 1 : 5); i++) tasks.push(await inPage(longestTask, aead));
      const longest = median(tasks);
      const what = `longest task on the main thread, 10 MiB sealed and opened, ${aead ?? "the default AEAD"}`;
      facts.push({ what, figure: `${longest.toFixed(0)} ms`, target: "≤ 50 ms", met: longest <= 50 });
    }
    say("Chromium: streams");
    const mebibytes = quick ? 64 : 1024;
    for (const [what, direction, options] of [
      ["sealed by a stream, ChaCha20-Poly1305", "seal", {}],
      ["sealed by a stream, AES-256-GCM", "seal", { aead: "Aes256Gcm" }],
      ["sealed and opened by streams, ChaCha20-Poly1305", "open", {}],
      ["sealed and opened by streams, AES-256-GCM", "open", { aead: "Aes256Gcm" }],
    ]) {
      const { live, all } = await inPage(streamMemory, mebibytes, direction, options);
      facts.push({
        what: `JavaScript and WASM memory in use above idle, at most, ${mebibytes} MiB ${what} (with what V8 has not collected yet: ${all.toFixed(0)} MiB)`,
        figure: `${live.toFixed(0)} MiB`, target: "≤ 64 MiB", met: quick ? undefined : live <= 64,
      });
    }
    const tables = await inPage(async (page) => {
      await page.exposeFunction("say", (what) => say(`Chromium: ${what}`));
      await page.addScriptTag({ url: "/page.js", type: "module" });
      await page.waitForFunction(() => globalThis.measured !== undefined);
      return page.evaluate((options) => globalThis.measured(options, globalThis.say), { quick });
    });
    return { where: `Chromium ${browser.version()}`, tables, facts };
  } finally {
    await browser.close();
    server.close();
    rmSync(folder, { recursive: true });
  }
}

async function firstCall(page) {
  return page.evaluate(async () => {
    const start = performance.now();
    const { Identity, SealContext, seal } = await import("/sealwire.js");
    const { recipient } = await Identity.generate();
    await seal(new Uint8Array(1024), [recipient], new SealContext("bench"));
    return performance.now() - start;
  });
}

/** What a message that is posted all the time waits for at most; Chromium's own "longtask" entries say nothing below 50 ms. */
async function longestTask(page, aead) {
  return page.evaluate(async (aead) => {
    const { Identity, SealContext, open, seal } = await import("/sealwire.js");
    const identity = await Identity.generate();
    const context = new SealContext("bench");
    const options = aead === undefined ? {} : { aead };
    const payload = new Uint8Array(10 * 1024 * 1024);
    await open(await seal(payload.subarray(0, 1 << 20), [identity.recipient], context, options), identity, context);

    const { port1, port2 } = new MessageChannel();
    let [running, longest, last] = [true, 0, performance.now()];
    const stopped = new Promise((resolve) => {
      port1.onmessage = () => {
        const now = performance.now();
        longest = Math.max(longest, now - last);
        last = now;
        if (running) port2.postMessage(null);
        else resolve();
      };
    });
    port2.postMessage(null);
    await open(await seal(payload, [identity.recipient], context, options), identity, context);
    running = false;
    await stopped;
    return longest;
  }, aead);
}

/**
 * The most that JavaScript's heap, its buffers and the module's memory took above what they took before, in MiB: of what is in use, looked at
 * right after a collection twice a second, and of all, garbage included.
 */
async function streamMemory(page, mebibytes, direction, options) {
  const session = await page.context().newCDPSession(page);
  await page.evaluate(() => {
    const { instantiate } = WebAssembly;
    globalThis.memories = [];
    WebAssembly.instantiate = async (...given) => {
      const made = await instantiate(...given);
      globalThis.memories.push(Object.values((made.instance ?? made).exports).find((exported) => exported instanceof WebAssembly.Memory));
      return made;
    };
  });
  const used = async () => {
    const { usedSize, embedderHeapUsedSize = 0, backingStorageSize = 0 } = await session.send("Runtime.getHeapUsage");
    const wasm = await page.evaluate(() => globalThis.memories.reduce((sum, memory) => sum + memory.buffer.byteLength, 0));
    return usedSize + embedderHeapUsedSize + backingStorageSize + wasm;
  };
  const run = (count) =>
    page.evaluate(
      async ([count, direction, options]) => {
        const { Identity, SealContext, openStream, sealStream } = await import("/sealwire.js");
        globalThis.bench ??= { identity: await Identity.generate(), context: new SealContext("bench") };
        const { identity, context } = globalThis.bench;
        const payload = Uint8Array.from({ length: 1 << 20 }, (_, i) => (i % 251) + 1);
        /** Files of this size do not fit into memory: they are made while they are read. */
        const file = (left) =>
          new ReadableStream(
            {
              async pull(controller) {
                // As a disk would, it gives others their turn.
                await new Promise((resolve) => setTimeout(resolve));
                if (left-- > 0) controller.enqueue(payload.slice());
                else controller.close();
              },
            },
            { highWaterMark: 0 },
          );
        const sealed = file(count).pipeThrough(sealStream([identity.recipient], context, options));
        const out = direction === "seal" ? sealed : sealed.pipeThrough(openStream(identity, context));
        let length = 0;
        for await (const piece of out) length += piece.length;
        return length;
      },
      [count, direction, options],
    );
  await run(1);
  await session.send("HeapProfiler.collectGarbage");
  const idle = await used();
  let [live, all, running] = [idle, idle, true];
  const watching = (async () => {
    for (let look = 0; running; look++) {
      if (look % 10 === 0) {
        await session.send("HeapProfiler.collectGarbage");
        live = Math.max(live, await used());
      }
      all = Math.max(all, await used());
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })();
  const length = await run(mebibytes);
  running = false;
  await watching;
  if (length < mebibytes * 2 ** 20) throw new Error(`${length} bytes came out of the streams`);
  return { live: (live - idle) / 2 ** 20, all: (all - idle) / 2 ** 20 };
}

/** Serves the bundles, with the module where they look for it. */
async function served(folder) {
  const esbuild = (entry, name) =>
    execFileSync(`${here}/../node_modules/.bin/esbuild`, [
      entry, "--bundle", "--minify", "--format=esm", "--platform=browser", "--log-level=error", `--outfile=${join(folder, name)}`,
    ]);
  esbuild(`${here}/page.mjs`, "page.js");
  esbuild(`${here}/../dist/web/browser.js`, "sealwire.js");
  writeFileSync(join(folder, "index.html"), "<!doctype html><title>bench</title>");
  const files = {
    "/": ["text/html", join(folder, "index.html")],
    "/page.js": ["text/javascript", join(folder, "page.js")],
    "/sealwire.js": ["text/javascript", join(folder, "sealwire.js")],
    "/glue/sealwire_bg.wasm": ["application/wasm", `${here}/../dist/web/glue/sealwire_bg.wasm`],
  };
  const server = createServer((request, response) => {
    const [type, path] = files[request.url] ?? [];
    if (path === undefined) response.writeHead(404).end();
    else response.writeHead(200, { "content-type": type }).end(readFileSync(path));
  });
  await new Promise((resolve) => server.listen(0, "localhost", resolve));
  return server;
}

function median(values) {
  return values.sort((a, b) => a - b)[values.length >> 1];
}
