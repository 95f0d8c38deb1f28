// Bundled for the browser: everything that `measure` needs.

import * as sealwire from "../dist/web/browser.js";
import { measure } from "./measure.mjs";

globalThis.measured = (options, say) => measure(sealwire, options, say);
