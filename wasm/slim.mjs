// `slim.mjs GLUE NAMES` takes out of a glue file what this package never needs, so that bundlers leave out what an app does not call, and gives imports and
// exports the short names that wasm-opt says. Every step has to find what it looks for: another version of wasm-bindgen needs another look.
import { readFileSync, writeFileSync } from "node:fs";

const [, , file, names] = process.argv;
let glue = readFileSync(file, "utf8");

function replace(what, by) {
  const before = glue;
  glue = glue.replaceAll(what, by);
  if (glue === before) throw new Error(`the glue has no ${what}`);
}

// Nothing schedules it: after a trap the package asks for a new instance by itself.
replace(/^ +__wbg_call_guard\(\);\n/gm, "");
replace(/^function __wbg_call_guard\(\) \{\n[^]*?^\}\n/gm, "");
if (/^export class /m.test(glue)) slimClasses();
// The package hands in a compiled module, and does so once.
replace(
  /^async function __wbg_load\([^]*^export \{.*\n/gm,
  `export function initSync({ module }) {
    return __wbg_finalize_init(new WebAssembly.Instance(module, __wbg_get_imports()), module);
}

export default async function (given) {
    return (wasm ??= __wbg_finalize_init(await WebAssembly.instantiate(given.module_or_path, __wbg_get_imports()), given.module_or_path));
}
`,
);

const short = JSON.parse(readFileSync(names, "utf8"));
for (const [, name, to] of short.imports) replace(new RegExp(`^( {8})${name.replaceAll("$", "\\$")}:`, "gm"), (_, indent) => `${indent}${to}:`);
replace(/^ {8}".*_bg\.js": import0/gm, "        a: import0");
const exported = new Map(short.exports);
replace(/\bwasm\.(\w+)/g, (_, name) => {
  if (!exported.has(name)) throw new Error(`the module has no ${name}`);
  return `wasm.${exported.get(name)}`;
});
writeFileSync(file, glue);

function slimClasses() {
  // For engines without, which do not know the module's SIMD either.
  replace(/^if \(!\('encodeInto' in cachedTextEncoder\)\) \{\n[^]*?^\}\n/gm, "");
  // These keep every class in every bundle. The package frees its objects by hand.
  replace(/^if \(Symbol\.dispose\) .*\n/gm, "");
  replace(
    /\(typeof FinalizationRegistry === 'undefined'\)\n.*\n {4}: new FinalizationRegistry\(\(\{ ptr, instance \}\) => \{\n.*__wbg_instance_id\) (.*);\n\}\);/g,
    "/* @__PURE__ */ __wbg_registry((ptr) => $1);",
  );
  // Nothing throws between two arguments but a trap, after which the instance is gone: TypeScript has looked at them.
  replace(/^ {8}let (?:(?:ptr|len)\d*(?:, )?)+;\n {8}try \{\n([^]*?)^ {8}\} catch \(e\) \{\n[^]*?^ {8}\}\n/gm, (_, passed) =>
    passed.replace(/^ {4}( +)(\w+) = /gm, "$1const $2 = "),
  );
  replace(/^ {4}if \(realloc === undefined\) \{\n[^]*?^ {4}\}\n/gm, "");
  replace(/, wasm\.__wbindgen_malloc(?:, wasm\.__wbindgen_realloc)?\)/g, ")");
  replace(/^(function pass\w+\(\w+), malloc(?:, realloc)?\) \{\n([^]*?^\})/gm, (_, head, body) =>
    `${head}) {\n${body.replace(/\b((?:m|re)alloc)\(/g, "wasm.__wbindgen_$1(")}`,
  );
  // The same words a hundred times are the same function.
  replace(/if \(\(?(\w+)\)?\.__wbg_inst !== undefined && .* !== __wbg_instance_id\) \{\n.*\n +\}/g, "__wbg_fresh($1);");
  replace(/^ {8}let ret;\n {8}ret = /gm, "        const ret = ");
  replace(/if \(ret\[2\]\) \{\n +throw takeFromExternrefTable0\(ret\[1\]\);\n +\}\n +return takeFromExternrefTable0\(ret\[0\]\);/g, "return __wbg_result(ret);");
  replace(/if \(ret\[1\]\) \{\n +throw takeFromExternrefTable0\(ret\[0\]\);\n +\}/g, "__wbg_nothing(ret);");
  replace(/const ptr = this\.__wbg_ptr;\n +this\.__wbg_ptr = 0;\n +(\w+)\.unregister\(this\);\n +return ptr;/g, "return __wbg_gone(this, $1);");
  replace(/Object\.defineProperty\((\w+), '__wbg_inst', .*\n\s*(\w+)\.register\(\w+, \{ (?:ptr: )?(.*), instance: __wbg_instance_id \}, \w+\);/g, "__wbg_made($1, $3, $2);");
  replace(/const obj = Object\.create\((\w+)\.prototype\);\n +obj\.__wbg_ptr = ptr;\n +__wbg_made\(obj, ptr, (\w+)\);\n +return obj;/g, "return __wbg_made(Object.create($1.prototype), ptr, $2);");
  replace(/this\.__wbg_ptr = .*;\n +(__wbg_made\(this, .*\));\n +return this;/g, "return $1;");
  replace(/const ptr = this\.__destroy_into_raw\(\);\n +wasm\.(\w+)\(ptr, 0\);\n/g, "wasm.$1(this.__destroy_into_raw(), 0);");
  replace(/_assertClass\((.*)\);\n +__wbg_fresh\(.*\);/g, "__wbg_given($1);");
  glue += `
function __wbg_registry(free) {
    const freed = ({ ptr, instance }) => {
        if (instance === __wbg_instance_id) free(ptr);
    };
    return typeof FinalizationRegistry === "undefined" ? { register() {}, unregister() {} } : new FinalizationRegistry(freed);
}

function __wbg_gone(object, registry) {
    const ptr = object.__wbg_ptr;
    object.__wbg_ptr = 0;
    registry.unregister(object);
    return ptr;
}

function __wbg_result(ret) {
    if (ret[2]) throw takeFromExternrefTable0(ret[1]);
    return takeFromExternrefTable0(ret[0]);
}

function __wbg_nothing(ret) {
    if (ret[1]) throw takeFromExternrefTable0(ret[0]);
}

function __wbg_made(object, ptr, registry) {
    object.__wbg_ptr = ptr;
    Object.defineProperty(object, "__wbg_inst", { value: __wbg_instance_id, writable: true });
    registry.register(object, { ptr, instance: __wbg_instance_id }, object);
    return object;
}

function __wbg_given(object, kind) {
    _assertClass(object, kind);
    __wbg_fresh(object);
}

function __wbg_fresh(object) {
    if (object.__wbg_inst !== undefined && object.__wbg_inst !== __wbg_instance_id) throw new Error("an object of another instance");
}
`;
}
