// The package beside its peers, in Node and in Chromium.
//
//   node wasm/bench/run.mjs            prints the tables
//   node wasm/bench/run.mjs --quick    runs everything once or twice, to see that it runs
//   node wasm/bench/run.mjs --write    writes RESULTS.md too; only on a machine that does nothing else
//
// Needs wasm/build to have run, and Chromium (../chromium.mjs); without it those tables are left out.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { gzipSync } from "node:zlib";
import { executablePath } from "../chromium.mjs";
import { inChromium } from "./chromium.mjs";

const here = new URL(".", import.meta.url).pathname;
const quick = process.argv.includes("--quick");
if (!existsSync(`${here}/node_modules`)) {
  execFileSync("npm", ["ci", "--no-fund", "--no-audit", "--loglevel=error"], { cwd: here, stdio: "inherit" });
}
const { measure } = await import("./measure.mjs");
const sealwire = await import("../dist/esm/node.js");

const say = (what) => process.stderr.write(`${what}\n`);
const sections = [{ where: `Node ${process.versions.node}`, tables: await measure(sealwire, { quick }, say) }];
if (executablePath !== undefined) sections.push(await inChromium({ quick }, say));
else if (process.env.CI === "true") throw new Error("no Chromium");
else console.log("left out: Chromium is not installed");

const peers = ["age-encryption", "jose", "libsodium-wrappers"].map((name) => {
  const { version } = JSON.parse(readFileSync(`${here}/node_modules/${name}/package.json`, "utf8"));
  return `${name} ${version}`;
});
const own = JSON.parse(readFileSync(`${here}/../package.json`, "utf8")).version;
const wasm = gzipSync(readFileSync(`${here}/../dist/web/glue/sealwire_bg.wasm`), { level: 9 }).length;
const text = `# Results

Made by \`node wasm/bench/run.mjs --write\`; medians, ours and the peer in turn.

CPU: ${cpus()[0].model}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, a virtual machine that shares its host.
sealwire ${own}, its module ${wasm} bytes gzipped; ${peers.join(", ")}; ${sections.map(({ where }) => where).join(", ")}.
"ratio" is how many times faster ours is.
${sections.map(section).join("")}
What is missed, and why: [NOTES.md](NOTES.md).
`;
console.log(text);
if (process.argv.includes("--write")) writeFileSync(`${here}/RESULTS.md`, text);

function section({ where, tables, facts = [] }) {
  const shown = tables.map(
    ({ title, rows }) => `
### ${where}: ${title}

| what | ours | peer | ratio | target | met |
|---|---|---|---|---|---|
${rows.map(row).join("\n")}
`,
  );
  if (facts.length > 0) {
    shown.push(`
### ${where}: first call, tasks, memory

| what | figure | target | met |
|---|---|---|---|
${facts.map(({ what, figure, target, met }) => `| ${what} | ${figure} | ${target ?? "none"} | ${verdict(met)} |`).join("\n")}
`);
  }
  return shown.join("");
}

function row({ what, bytes, ours, peer, ratio, target }) {
  const met = target === undefined ? undefined : ratio >= target;
  return `| ${what} | ${speed(bytes, ours)} | ${speed(bytes, peer)} | ${ratio.toFixed(2)} | ${target === undefined ? "none" : `≥ ${target}`} | ${verdict(met)} |`;
}

function verdict(met) {
  return met === undefined ? "printed" : met ? "yes" : "**no**";
}

function speed(bytes, ms) {
  return bytes > 64 * 1024 ? `${(bytes / ms / 1000).toFixed(0)} MB/s` : `${(ms * 1000).toFixed(0)} µs`;
}
