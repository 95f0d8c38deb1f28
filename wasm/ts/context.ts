import { misuse } from "./error.js";
import * as glue from "./glue/sealwire.js";

/**
 * One field of a {@link SealContext}: text, an unsigned integer (`number` up to `Number.MAX_SAFE_INTEGER`, or `bigint` below 2^64), or
 * bytes. `"1"`, `1` and the byte `1` are three different fields; `1` and `1n` are the same.
 */
export type ContextField = string | number | bigint | Uint8Array;

/**
 * What a payload is for: a namespace and fields, such as `"notes"` and the note's stable id.
 *
 * The context is bound to the envelope and never sent: opening with another one is `Rejected`, so a server cannot serve the bytes of
 * one row as another. Choose a namespace and an id that never change; a URL changes with the domain.
 *
 * Limits: namespace 1 to 128 bytes; at most 16 fields of at most 1024 bytes; both are checked when the context is used (`Misuse`).
 * Text is compared byte for byte, without Unicode normalisation. Source: SPEC §9.
 *
 * ```ts
 * const note = new SealContext("notes", "17");
 * const page = new SealContext("wiki/page", 4, "history");
 * ```
 */
export class SealContext {
  /** The namespace. */
  readonly namespace: string;
  /** The fields; their order counts. */
  readonly fields: readonly ContextField[];

  /** Throws `Misuse` for a field of another type. */
  constructor(namespace: string, ...fields: ContextField[]) {
    this.namespace = wellFormed(namespace);
    this.fields = fields.map((field) => {
      // Not `slice`, by which a Buffer of Node shares its memory.
      if (field instanceof Uint8Array) return new Uint8Array(bytes(field));
      return typeof field === "string" ? wellFormed(field) : unsigned(field);
    });
  }
}

/**
 * Any bytes, over the same memory: a `Uint8Array` of which nobody else has changed how long it says to be, since so much of the module's
 * memory would count as its bytes. Memory that was transferred is no empty payload.
 */
export function bytes(given: Uint8Array | ArrayBuffer): Uint8Array {
  try {
    if (given instanceof ArrayBuffer) return new Uint8Array(given);
    // Not a Proxy of one.
    if (given instanceof Uint8Array && ArrayBuffer.isView(given)) return new Uint8Array(given.buffer, given.byteOffset, given.byteLength);
  } catch {
    // It was transferred, or lies.
  }
  throw misuse("a Uint8Array or an ArrayBuffer is wanted, with its memory");
}

/** The context inside the module. */
export function rawContext(context: SealContext): glue.Context {
  if (!(context instanceof SealContext)) throw misuse("a context is a SealContext, of this copy of the package");
  const raw = new glue.Context(wellFormed(context.namespace));
  for (const field of context.fields) {
    if (typeof field === "string") raw.text(wellFormed(field));
    else if (field instanceof Uint8Array) raw.bytes(bytes(field));
    else raw.number(unsigned(field));
  }
  return raw;
}

/**
 * Options as they are at this moment, and `Misuse` for a member that nobody knows, so that a slip of the pen cannot leave something out; also for one
 * that comes from a class or from defaults behind the object, or is not enumerable: it would be left out. Nothing comes from `Object.prototype`,
 * where a stranger's JSON may have got to in a careless app: `{ "trustOnFirstUse": true }` there would be in every policy.
 */
export function chosen<T extends object>(options: T, ...members: string[]): T {
  if (typeof options !== "object" || options === null) throw misuse("an object is wanted");
  const own = bare(options);
  for (const member of Object.keys(own)) if (!members.includes(member)) throw misuse(`an option that nobody knows: ${member}`, member);
  const isPlain = Object.getPrototypeOf(options) === Object.prototype;
  for (const member of members) {
    if (member in options && !(member in own) && !(isPlain && !Object.hasOwn(options, member))) {
      throw misuse("an option that is inherited or not enumerable: make it a member of the object itself", member);
    }
  }
  return own;
}

/** A list as it is at this moment, or `Misuse`. */
export function listed<T>(list: readonly T[]): T[] {
  if (!Array.isArray(list)) throw misuse("a list is wanted");
  return [...list];
}

/**
 * What the app's own code gives (an iterator, a `toString`), inside of a call of the module: `Misuse` if it fails, which is not the module's failing
 * and takes no key away.
 */
export function theirs<T>(code: () => T): T {
  try {
    return code();
  } catch (cause) {
    throw misuse("a value that cannot be read", cause);
  }
}

/** The object's own members and no others: what nobody has signed has no `signer`, whatever stands in `Object.prototype`. */
export function bare<T extends object>(object: T): T {
  return Object.assign(Object.create(null), object) as T;
}

/** True or false, or `Misuse`: the text `"true"` of a configuration would count as neither. */
export function flag(value: boolean | undefined): boolean {
  if (value !== undefined && typeof value !== "boolean") throw misuse("true or false is wanted");
  return value === true;
}

/** A u64, or `Misuse`. */
export function unsigned(value: number | bigint): bigint {
  const valid =
    typeof value === "bigint" ? value >= 0n && value < 1n << 64n : Number.isSafeInteger(value) && value >= 0;
  if (!valid) throw misuse("a whole number from 0 to 2^64 - 1 is wanted, from 2^53 as a bigint; contexts and metadata also take text and bytes");
  return BigInt(value);
}

/** Text that is UTF-8 without loss, or `Misuse`: half a surrogate pair would become another character. */
export function wellFormed(text: string): string {
  if (/\p{Surrogate}/u.test(textual(text))) throw misuse("text with half a surrogate pair");
  return text;
}

/** Text, or `Misuse`: the glue takes anything for text, and traps. */
export function textual(text: string): string {
  if (typeof text !== "string") throw misuse("text is wanted");
  return text;
}
