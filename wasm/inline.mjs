// Writes ts/glue/inlined.js: the module gzipped, in base64.
import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const packed = gzipSync(readFileSync("ts/glue/sealwire_bg.wasm"), { level: 9 });
writeFileSync("ts/glue/inlined.js", `export default "${packed.toString("base64")}";\n`);
writeFileSync("ts/glue/inlined.d.ts", "declare const base64: string;\nexport default base64;\n");
