// Every case of tests/vectors/envelope/ and of SEALWIRE_VECTORS in Node, with the same outcomes as in Rust.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import * as sealwire from "../dist/esm/node.js";
import { judge, parse } from "./vectors.mjs";

const folders = [new URL("../../tests/vectors/", import.meta.url).pathname, process.env.SEALWIRE_VECTORS].filter(Boolean);
const cases = folders
  .flatMap((folder) => readdirSync(folder, { recursive: true }).map((name) => `${folder}/${name}`))
  .filter((path) => path.endsWith(".json"))
  .map((path) => ({ path, vector: parse(readFileSync(path, "utf8")) }))
  .filter(({ vector }) => vector.operation !== undefined);

test("there are vectors", () => assert.ok(cases.length >= 500, `only ${cases.length}`));

for (const { path, vector } of cases) {
  test(path.split("/").at(-1), async () => assert.equal(await judge(sealwire, vector), vector.expect, path));
}
