import { __wbg_reset_state, initSync, stretch } from "./glue/argon.js";
import type { StretchAnswer, StretchJob } from "./stretch.js";

/** Does one job, in an instance of its own, whose memory is given back. */
export function run({ module, arguments: wanted }: StretchJob): StretchAnswer {
  initSync({ module });
  try {
    return stretch(...wanted);
  } catch (thrown) {
    // Whatever else comes out is a failure of the module.
    if (Array.isArray(thrown)) return thrown as Exclude<StretchAnswer, Uint8Array>;
    throw thrown;
  } finally {
    wanted[0].fill(0);
    __wbg_reset_state();
  }
}
