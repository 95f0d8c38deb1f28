// `slim.mjs GLUE` takes out of GLUE/sealwire.js what this package never needs, so that bundlers leave out what an app does not call. Every step has to
// find what it looks for: another version of wasm-bindgen needs another look.
import { readFileSync, writeFileSync } from "node:fs";

const file = `${process.argv[2]}/sealwire.js`;
let glue = readFileSync(file, "utf8");

function replace(what, by) {
  const before = glue;
  glue = glue.replaceAll(what, by);
  if (glue === before) throw new Error(`the glue has no ${what}`);
}

// These keep every class in every bundle. The package frees its objects by hand.
replace(/^if \(Symbol\.dispose\) .*\n/gm, "");
replace(/^ {4}: new FinalizationRegistry/gm, "    : /* @__PURE__ */ new FinalizationRegistry");
// For engines without, which do not know the module's SIMD either.
replace(/^if \(!\('encodeInto' in cachedTextEncoder\)\) \{\n[^]*?^\}\n/gm, "");
// Nothing schedules it: after a trap the package asks for a new instance by itself.
replace(/^ +__wbg_call_guard\(\);\n/gm, "");
replace(/^function __wbg_call_guard\(\) \{\n[^]*?^\}\n/gm, "");
// The package hands in a compiled module, and does so once.
replace(
  /^async function __wbg_load\([^]*/gm,
  `export function initSync({ module }) {
    return __wbg_finalize_init(new WebAssembly.Instance(module, __wbg_get_imports()), module);
}

export default async function (given) {
    return (wasm ??= __wbg_finalize_init(await WebAssembly.instantiate(given.module_or_path, __wbg_get_imports()), given.module_or_path));
}
`,
);
writeFileSync(file, glue);
