// `inline.mjs GLUE` writes GLUE/inlined.js: the modules gzipped, in base64.
import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const glue = process.argv[2];
const packed = (name) => gzipSync(readFileSync(`${glue}/${name}_bg.wasm`), { level: 9 }).toString("base64");
const names = ["sealwire", "argon"];
writeFileSync(`${glue}/inlined.js`, names.map((name) => `export const ${name} = "${packed(name)}";\n`).join(""));
writeFileSync(`${glue}/inlined.d.ts`, names.map((name) => `export declare const ${name}: string;\n`).join(""));
