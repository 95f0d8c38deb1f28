import { bytes, textual } from "./context.js";
import { glue, run } from "./module.js";
import type { Sealed } from "./seal.js";

/** Bytes as base64url without padding: for JSON, headers and chat messages. Source: SPEC §13. */
export function toText(envelope: Sealed): Promise<string> {
  return run(() => glue.toText(bytes(envelope)));
}

/**
 * Reads base64url without padding. Rejects with `Malformed` for any other character (white space and `=` too), and for trailing bits that
 * are not zero.
 */
export function fromText(text: string): Promise<Uint8Array<ArrayBuffer>> {
  return run(() => glue.fromText(textual(text)) as Uint8Array<ArrayBuffer>);
}

/**
 * Cuts an envelope into header and body, to be stored apart: a row in a database, an object in a store. They are views of `envelope`, not
 * copies. Rejects as {@link inspect} does.
 */
export async function split(envelope: Sealed): Promise<{ header: Uint8Array; body: Uint8Array }> {
  const whole = bytes(envelope);
  const at = await run(() => glue.splitAt(whole));
  return { header: whole.subarray(0, at), body: whole.subarray(at) };
}

/** Puts a header and a body together again. Nothing is checked: opening does that. */
export function join(header: Sealed, body: Sealed): Uint8Array<ArrayBuffer> {
  const [front, back] = [bytes(header), bytes(body)];
  const envelope = new Uint8Array(front.length + back.length);
  envelope.set(front);
  envelope.set(back, front.length);
  return envelope;
}
