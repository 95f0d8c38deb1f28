import { initSync, stretch } from "./glue/sealwire.js";
import type { StretchAnswer, StretchJob } from "./stretch.js";

/** Does one job, in an instance of its own. */
export function run({ module, arguments: wanted }: StretchJob): StretchAnswer {
  initSync({ module });
  try {
    return stretch(...wanted);
  } catch (thrown) {
    // Whatever else comes out ends the worker as an error, and the job is done where there was none.
    if (Array.isArray(thrown)) return thrown.slice(0, 2) as Exclude<StretchAnswer, Uint8Array>;
    throw thrown;
  } finally {
    wanted[0].fill(0);
  }
}
