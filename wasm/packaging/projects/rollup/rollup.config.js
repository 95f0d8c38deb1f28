import resolve from "@rollup/plugin-node-resolve";
import { importMetaAssets } from "@web/rollup-plugin-import-meta-assets";

// The second plugin copies files that are named by `new URL("…", import.meta.url)`: Rollup has nothing of its own for them.
export default { input: "src/main.js", output: { dir: "dist", format: "es" }, plugins: [resolve({ browser: true }), importMetaAssets()] };
