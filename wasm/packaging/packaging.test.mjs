// The packed tarball in real projects: built by real bundlers, run in Node, Chromium and the runtimes of the edge.
//
//   node --test wasm/packaging/packaging.test.mjs        after wasm/build

import { equal, deepEqual, ok } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { after, before, test as named } from "node:test";
import { launch } from "../chromium.mjs";
import { open, serve } from "./serve.mjs";

const here = import.meta.dirname;
const tools = join(here, "node_modules", ".bin");
// Below this folder, so that the projects find the bundlers, and the package only in their own node_modules.
const work = mkdtempSync(join(here, ".work-"));
// Bundlers read the nearest one, and this package's own is not the projects'.
writeFileSync(join(work, "tsconfig.json"), "{}\n");
const MODULES = ["sealwire_bg.wasm", "argon_bg.wasm"];
/** None may hang. */
const test = (name, run) => named(name, { timeout: 60_000 }, run);
let tarball;
let browser;

before(async () => {
  const packed = execFileSync("npm", ["pack", "--json", "--pack-destination", work, join(here, "..")], { encoding: "utf8" });
  tarball = join(work, JSON.parse(packed)[0].filename);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  rmSync(work, { recursive: true, force: true });
});

/** A copy of the project with the package installed in it. */
function project(name, from = join(here, "projects", name)) {
  const folder = join(work, name);
  cpSync(from, folder, { recursive: true });
  if (!readdirSync(folder).includes("package.json")) writeFileSync(join(folder, "package.json"), `{ "name": "in-${name}", "private": true }\n`);
  execFileSync("npm", ["install", "--no-audit", "--no-fund", "--loglevel=error", "--install-links", tarball], { cwd: folder });
  return folder;
}

const run = (program, args, cwd) => execFileSync(program, args, { cwd, encoding: "utf8" });

/** Opens the folder in Chromium under the content security policy; its title says what it opened. */
async function shows(folder, title = "Dear Bob") {
  const server = await serve(folder);
  const { page, troubles, close } = await open(browser, `${server.url}/`);
  try {
    await page.waitForFunction(() => document.title !== "waiting", undefined, { timeout: 20_000 }).catch(() => {});
    deepEqual([await page.title(), troubles], [title, []]);
  } finally {
    await close();
    await server.close();
  }
  return server.requests;
}

test("Vite", async () => {
  const folder = project("vite");
  run(join(tools, "vite"), ["build"], folder);
  await shows(join(folder, "dist"));
});

test("webpack", async () => {
  const folder = project("webpack");
  const { default: webpack } = await import("webpack");
  const { default: config } = await import(join(folder, "webpack.config.js"));
  const stats = await new Promise((resolve, reject) =>
    webpack({ ...config, context: folder }, (error, stats) => (error ? reject(error) : resolve(stats))),
  );
  equal(stats.hasErrors(), false, stats.toString("errors-only"));
  cpSync(join(folder, "index.html"), join(folder, "dist", "index.html"));
  await shows(join(folder, "dist"));
});

test("Rollup", async () => {
  const folder = project("rollup");
  run(join(tools, "rollup"), ["--config", "--silent"], folder);
  cpSync(join(folder, "index.html"), join(folder, "dist", "index.html"));
  await shows(join(folder, "dist"));
});

test("esbuild, which copies no files: with the inlined entry", async () => {
  const folder = project("esbuild");
  run(join(tools, "esbuild"), ["src/main.js", "--bundle", "--format=esm", "--alias:sealwire=sealwire/inline", "--outfile=dist/main.js", "--log-level=warning"], folder);
  cpSync(join(folder, "index.html"), join(folder, "dist", "index.html"));
  await shows(join(folder, "dist"));
});

test("no bundler: a module script", async () => {
  await shows(project("script-module"));
});

test("no bundler: a module script with the module inlined", async () => {
  const requests = await shows(project("inline-csp"));
  ok(!requests.some(([, path]) => path.endsWith(".wasm")), "nothing is fetched besides scripts");
});

test("a web worker", async () => {
  await shows(project("web-worker"));
});

test("a service worker plays media that is sealed on the server, by ranges", async () => {
  const folder = project("media", join(here, "..", "..", "examples", "web", "media"));
  const { Identity, SealContext, seal } = await import(join(folder, "node_modules", "sealwire", "dist", "esm", "node.js"));
  const bob = await Identity.generate();
  const context = new SealContext("media", "tune.wav");
  const sealed = await seal(tune(60), [bob.recipient], context, { contentType: "audio/wav" });
  mkdirSync(join(folder, "sealed"));
  writeFileSync(join(folder, "sealed", "tune.wav"), sealed);
  const written = await seal("<script>steal(keys)</script>......", [bob.recipient], new SealContext("media", "page"), { contentType: "text/html" });
  writeFileSync(join(folder, "sealed", "page"), written);

  const server = await serve(folder);
  const { page, troubles, close } = await open(browser, `${server.url}/`);
  await page.waitForFunction(() => document.title === "waiting for play()");
  const identity = new TextDecoder().decode(bob.reveal());
  const played = await page.evaluate(async (identity) => {
    const player = document.querySelector("audio");
    const canPlay = new Promise((resolve, reject) => {
      player.addEventListener("canplay", resolve, { once: true });
      player.addEventListener("error", () => reject(player.error.message), { once: true });
    });
    await play(identity, "tune.wav");
    await canPlay;
    player.currentTime = 50;
    await new Promise((resolve) => player.addEventListener("seeked", resolve, { once: true }));
    await player.play();
    await new Promise((resolve) => player.addEventListener("timeupdate", resolve, { once: true }));
    return [player.duration, player.currentTime >= 50];
  }, identity);
  deepEqual([played, troubles], [[60, true], []]);
  const asked = server.requests.filter(([method, path]) => method === "GET" && path === "/sealed/tune.wav");
  ok(asked.length > 1 && asked.every(([, , range]) => range), "the sealed file was only asked for ranges");

  // What a sealer calls a page is none, and ranges are those of RFC 9110.
  const answers = await page.evaluate(async () => {
    const ask = async (range) => {
      const response = await fetch("/media/page", { headers: range ? { range } : {} });
      const { byteLength } = await response.arrayBuffer();
      return [response.status, byteLength, ...["content-range", "content-type", "x-content-type-options"].map((name) => response.headers.get(name))];
    };
    return Promise.all([undefined, "bytes=-4", "bytes=2-3", "bytes=2-", "bytes=30-99", "bytes=34-", "bytes=-0", "bytes=3-2", "bytes=0-1,3-4", "lines=1-2"].map(ask));
  });
  const plain = ["application/octet-stream", "nosniff"];
  const all = [200, 34, null, ...plain];
  const part = (start, end) => [206, end - start, `bytes ${start}-${end - 1}/34`, ...plain];
  const none = [416, 0, "bytes */34", ...plain];
  deepEqual(answers, [all, part(30, 34), part(2, 4), part(2, 34), part(30, 34), none, none, all, all, all]);
  await close();
  await server.close();
});

test("Node, ESM", () => equal(run("node", ["main.mjs"], project("node-esm")), "Dear Bob\n"));

test("Node, CommonJS", () => equal(run("node", ["main.cjs"], project("node-cjs")), "Dear Bob\n"));

test("Node, a worker", () => equal(run("node", ["main.mjs"], project("node-worker")), "Dear Bob\n"));

test("esbuild has nothing to warn of, for whatever it bundles", async () => {
  const { build } = await import("esbuild");
  const resolveDir = project("esbuild");
  const contents = 'export * from "sealwire"; export * from "sealwire/server"; import "sealwire"; import "sealwire/server"; import "sealwire/inline";';
  for (const platform of ["browser", "node", "neutral"]) {
    for (const conditions of [[], ["worker"], ["workerd"], ["edge-light"], ["deno"]]) {
      const { warnings } = await build({
        stdin: { contents, resolveDir }, bundle: true, write: false, outdir: resolveDir, format: "esm", platform, conditions, external: ["node:*", "*.wasm?module"],
        loader: { ".wasm": "copy" }, logLevel: "silent",
      });
      equal(warnings.map(({ text }) => text).join("\n"), "", `${platform} ${conditions}`);
    }
  }
});

test("the edge runtime: no files, no eval, nothing compiled while it runs", async () => {
  const folder = project("edge");
  const { build } = await import("esbuild");
  // What Next does with `?module`: compiles it when the function is deployed, and hands it in.
  const module = { name: "module", setup: (build) => {
    build.onResolve({ filter: /\.wasm\?module$/ }, ({ path }) => ({ path, namespace: "module" }));
    build.onLoad({ filter: /./, namespace: "module" }, ({ path }) => ({ contents: `export default globalThis.__modules["${basename(path, "?module")}"]` }));
  } };
  const { outputFiles } = await build({ entryPoints: [join(folder, "main.js")], bundle: true, write: false, format: "iife", conditions: ["edge-light"], plugins: [module] });
  const { EdgeRuntime } = await import("edge-runtime");
  const glue = join(folder, "node_modules", "sealwire", "dist", "esm", "glue");
  const modules = Object.fromEntries(MODULES.map((name) => [name, new WebAssembly.Module(readFileSync(join(glue, name)))]));
  const runtime = new EdgeRuntime({
    codeGeneration: { strings: false, wasm: false },
    extend: (context) => Object.assign(context, { __modules: modules }),
    initialCode: outputFiles[0].text,
  });
  const response = await runtime.dispatchFetch("https://edge.example/", { method: "POST", body: "Dear Bob" });
  equal(await response.text(), "Dear Bob");
});

test("Cloudflare's workerd", async () => {
  const folder = project("workerd");
  const { build } = await import("esbuild");
  const wasm = { name: "wasm", setup: (build) => build.onResolve({ filter: /\.wasm$/ }, ({ path }) => ({ path: `./${basename(path)}`, external: true })) };
  const { outputFiles } = await build({ entryPoints: [join(folder, "main.js")], bundle: true, write: false, format: "esm", conditions: ["workerd", "worker"], plugins: [wasm] });
  const { Miniflare } = await import("miniflare");
  const glue = join(folder, "node_modules", "sealwire", "dist", "esm", "glue");
  const runtime = new Miniflare({
    compatibilityDate: "2026-07-01",
    modules: [
      { type: "ESModule", path: "main.js", contents: outputFiles[0].text },
      ...MODULES.map((path) => ({ type: "CompiledWasm", path, contents: readFileSync(join(glue, path)) })),
    ],
  });
  try {
    const response = await runtime.dispatchFetch("https://edge.example/", { method: "POST", body: "Dear Bob" });
    equal(await response.text(), "Dear Bob");
  } finally {
    await runtime.dispose();
  }
});

/** So many seconds of a 440 Hz tone: a WAV file, 8 kHz, 16 bits, mono. */
function tune(seconds) {
  const rate = 8000;
  const samples = rate * seconds;
  const wav = Buffer.alloc(44 + 2 * samples);
  wav.write("RIFF", 0);
  wav.writeUInt32LE(36 + 2 * samples, 4);
  wav.write("WAVEfmt ", 8);
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(1, 20);
  wav.writeUInt16LE(1, 22);
  wav.writeUInt32LE(rate, 24);
  wav.writeUInt32LE(2 * rate, 28);
  wav.writeUInt16LE(2, 32);
  wav.writeUInt16LE(16, 34);
  wav.write("data", 36);
  wav.writeUInt32LE(2 * samples, 40);
  for (let i = 0; i < samples; i++) wav.writeInt16LE(Math.round(8000 * Math.sin((2 * Math.PI * 440 * i) / rate)), 44 + 2 * i);
  return wav;
}
