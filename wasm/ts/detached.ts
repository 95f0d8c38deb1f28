// Header and body apart: a row in a database, an object in a store.

import { type SealContext, bytes, chosen, wellFormed } from "./context.js";
import { SealwireError, misuse } from "./error.js";
import type { Unlock } from "./keys.js";
import * as glue from "./glue/sealwire.js";
import { run, scoped } from "./module.js";
import {
  BODY_HEAD, MAX_RESEALED, type Opened, type OpenOptions, type Plaintext, type Readers, type Recipients, SEALING, type Sealed, type SealOptions, frontOf,
  isService, listOf, open, payloadOf, rawSealing, serving,
} from "./seal.js";

/**
 * Cuts an envelope into header and body, to be stored apart. They are views of `envelope`, not
 * copies. Rejects as {@link inspect} does.
 */
export async function split(envelope: Sealed): Promise<{ header: Uint8Array; body: Uint8Array }> {
  const whole = bytes(envelope);
  const at = await run(() => glue.splitAt(frontOf(whole)));
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

/** Opens a body that is stored apart from its header. Rejects as {@link open} does, and with `Malformed` if something follows the header. */
export async function openDetached(
  header: Sealed,
  body: Sealed,
  keys: Unlock,
  context: SealContext,
  options: OpenOptions = {},
): Promise<Opened> {
  const front = bytes(header);
  if ((await split(front)).body.length > 0) throw new SealwireError("Malformed", "malformed: something follows the header");
  return open(join(front, body), keys, context, options);
}

/** A header and the bodies that it belongs to, by the names of their parts. */
export interface SealedParts<Name extends string = string> {
  /** To be kept with all bodies. */
  readonly header: Uint8Array<ArrayBuffer>;
  readonly bodies: Readonly<Record<Name, Uint8Array<ArrayBuffer>>>;
}

/**
 * Seals several payloads under one header: the fields of a document, the pages of a file.
 *
 * Each is opened by itself with {@link openDetached} and its name as `part`, and cannot be taken for another. **That none is missing is for you to
 * check.** Names have at most 255 bytes. Rejects as {@link seal} does, and with `TooLarge` above 512 MiB in all. Source: SPEC §7.
 *
 * ```ts
 * const { header, bodies } = await sealParts({ title: "Lunch", text: "Meet me at noon" }, [toBob], context);
 * const title = await openDetached(header, bodies.title, bobsIdentity, context, { part: "title" });
 * ```
 */
export async function sealParts<Name extends string>(
  parts: Readonly<Record<Name, Plaintext>>,
  recipients: Readers,
  context: SealContext,
  options: Omit<SealOptions, "part"> = {},
): Promise<SealedParts<Name>> {
  options = chosen(options, ...SEALING.filter((member) => member !== "part"));
  const names = Object.keys(parts) as Name[];
  const payloads = names.map((name) => payloadOf(parts[name]));
  if (payloads.reduce((sum, { length }) => sum + length, 0) > MAX_RESEALED) throw new SealwireError("TooLarge", "too large: parts to be sealed in one step");
  if (names.length === 0 && listOf(recipients as Recipients).some(isService)) throw misuse("for a key service there has to be a part");
  let bodies: Uint8Array<ArrayBuffer>[] = [];
  let proof = new Uint8Array();
  // Any of the bodies proves which context it is: the first one.
  const header = await serving(recipients, context, { ...options, part: names[0] }, async (recipients) => {
    const [header, ...others] = await run(() =>
      scoped((own) => own(rawSealing(recipients, context, options)).sealParts(names.map(wellFormed), payloads) as Uint8Array<ArrayBuffer>[]),
    );
    [bodies, proof] = [others, others[0]?.slice(0, BODY_HEAD) ?? proof];
    return join(header as Uint8Array<ArrayBuffer>, proof);
  });
  return {
    header: header.slice(0, header.length - proof.length),
    bodies: Object.fromEntries(names.map((name, at) => [name, bodies[at]])) as SealedParts<Name>["bodies"],
  };
}
