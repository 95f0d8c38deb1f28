// `inline.mjs GLUE` writes GLUE/inlined.js: the module gzipped, in base64.
import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const glue = process.argv[2];
const packed = gzipSync(readFileSync(`${glue}/sealwire_bg.wasm`), { level: 9 });
writeFileSync(`${glue}/inlined.js`, `export default "${packed.toString("base64")}";\n`);
writeFileSync(`${glue}/inlined.d.ts`, "declare const base64: string;\nexport default base64;\n");
