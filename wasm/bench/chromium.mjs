// The same measurements in Chromium, and what only a page has: the first call, and tasks that block it.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

const here = new URL(".", import.meta.url).pathname;
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

export async function inChromium(executablePath, { quick }, say) {
  const { chromium } = await import("playwright-core");
  const folder = mkdtempSync(join(tmpdir(), "sealwire-bench-"));
  const server = await served(folder);
  const browser = await chromium.launch({ executablePath, args: FLAGS });
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
    const above = await inPage(streamMemory, browser, mebibytes);
    const met = quick ? undefined : above <= 64;
    facts.push({ what: `memory of the page's process above idle, ${mebibytes} MiB sealed and opened by streams`, figure: `${above.toFixed(0)} MiB`, target: "≤ 64 MiB", met });
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

/** The most that the page's process took above what it took before, in MiB: JavaScript, the module, and the rest of it. */
async function streamMemory(page, browser, mebibytes) {
  const run = (count) =>
    page.evaluate(async (count) => {
      const { Identity, SealContext, openStream, sealStream } = await import("/sealwire.js");
      const identity = await Identity.generate();
      const context = new SealContext("bench");
      let left = count;
      const file = new ReadableStream(
        {
          pull(controller) {
            if (left-- > 0) controller.enqueue(new Uint8Array(1 << 20));
            else controller.close();
          },
        },
        { highWaterMark: 0 },
      );
      let length = 0;
      const opened = file.pipeThrough(sealStream([identity.recipient], context)).pipeThrough(openStream(identity, context));
      for await (const piece of opened) length += piece.length;
      return length;
    }, count);
  await run(1);
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  const resident = () => {
    let sum = 0;
    for (const { type, id } of processInfo) {
      if (type === "renderer") sum += Number(readFileSync(`/proc/${id}/statm`, "utf8").split(" ")[1]) * 4096;
    }
    return sum;
  };
  const idle = resident();
  let most = idle;
  const watch = setInterval(() => (most = Math.max(most, resident())), 10);
  const length = await run(mebibytes).finally(() => clearInterval(watch));
  if (length !== mebibytes * 2 ** 20) throw new Error(`${length} bytes came out of the streams`);
  return (most - idle) / 2 ** 20;
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
