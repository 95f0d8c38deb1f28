import { bytes, textual } from "./context.js";
import { SealwireError } from "./error.js";
import * as glue from "./glue/sealwire.js";
import { call, load } from "./module.js";
import type { Sealed } from "./seal.js";

/** Bytes as base64url without padding: for JSON, headers and chat messages. Source: SPEC §13. */
export async function toText(envelope: Sealed): Promise<string> {
  const whole = bytes(envelope);
  await load();
  let text = "";
  try {
    for (let at = 0; at < whole.length; at += GROUPS * 3) text += call(() => glue.toText(whole.subarray(at, at + GROUPS * 3)));
  } catch (thrown) {
    if (thrown instanceof RangeError) throw new SealwireError("TooLarge", "too large: JavaScript has no text of that length");
    throw thrown;
  }
  return text;
}

/**
 * Reads base64url without padding. Rejects with `Malformed` for any other character (white space and `=` too), and for trailing bits that
 * are not zero.
 */
export async function fromText(text: string): Promise<Uint8Array<ArrayBuffer>> {
  textual(text);
  await load();
  const whole = new Uint8Array(Math.floor((text.length * 3) / 4));
  for (let at = 0; at < text.length; at += GROUPS * 4) {
    whole.set(call(() => glue.fromText(text.slice(at, at + GROUPS * 4))), (at / 4) * 3);
  }
  return whole;
}

/** So many times 3 bytes are 4 characters each: what goes into the module at a time, whose memory never shrinks. */
const GROUPS = 1 << 18;
