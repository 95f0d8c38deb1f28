// Every case of tests/vectors/ in Chromium, with the same outcomes as in Rust and in Node.

import { deepEqual, ok } from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { launch } from "../chromium.mjs";
import { open, serve } from "./serve.mjs";

const root = join(import.meta.dirname, "..", "..");

test("Chromium judges every vector as Rust does", { timeout: 300_000 }, async () => {
  const cases = readdirSync(join(root, "tests", "vectors"), { recursive: true })
    .filter((name) => name.endsWith(".json"))
    .map((name) => ({ name, text: readFileSync(join(root, "tests", "vectors", name), "utf8") }))
    .filter(({ text }) => JSON.parse(text).operation !== undefined);
  ok(cases.length >= 500, `only ${cases.length}`);

  const server = await serve(root);
  const browser = await launch();
  try {
    const { page } = await open(browser, `${server.url}/wasm/packaging/projects/script-module/index.html`);
    const different = await page.evaluate(async (cases) => {
      const sealwire = await import("/wasm/dist/web/browser.js");
      const { judge, parse } = await import("/wasm/test/vectors.mjs");
      const different = [];
      for (const { name, text } of cases) {
        const vector = parse(text);
        const outcome = await judge(sealwire, vector);
        if (outcome !== vector.expect) different.push([name, vector.expect, outcome]);
      }
      return different;
    }, cases);
    deepEqual(different, []);
  } finally {
    await browser.close();
    await server.close();
  }
});
