// The codes are those of Rust, and no other.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const read = (path) => readFileSync(new URL(path, import.meta.url), "utf8");

test("the codes of TypeScript are those of Rust, and the package's own two", () => {
  const rust = [...read("../../core/src/error.rs").matchAll(/=> "([A-Za-z]+)",/g)].map(([, code]) => code);
  const [, union] = read("../ts/error.ts").match(/type ErrorCode =([^;]*);/);
  const typescript = [...union.matchAll(/"([A-Za-z]+)"/g)].map(([, code]) => code);
  assert.ok(rust.length >= 13);
  assert.deepEqual(typescript.toSorted(), [...rust, "internal", "stale"].toSorted());
});
