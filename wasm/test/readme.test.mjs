// The README's first example runs as it stands.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

test("the README's example prints the message", async () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const [, example] = readme.match(/```js\n([^]*?)```/);
  const entry = new URL("../dist/esm/node.js", import.meta.url);
  const printed = [];
  globalThis.printed = (line) => printed.push(line);
  const source = example.replace('"sealwire"', JSON.stringify(entry.href)).replaceAll("console.log", "globalThis.printed");
  await import(`data:text/javascript,${encodeURIComponent(source)}`);
  assert.deepEqual(printed, ["meet me at noon"]);
});
