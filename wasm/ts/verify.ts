// Who sent a request, for those who get it.

import { rejected } from "./chunks.js";
import { SealwireError } from "./error.js";
import { chosen, flag, unsigned, wellFormed } from "./context.js";
import * as glue from "./glue/sealwire.js";
import { Held, run, scoped } from "./module.js";
import { type Signer, makeSigner } from "./recipient.js";
import { seconds, target } from "./request.js";

/** Whose signatures count: signers, or a function that looks one up by its key id (43 characters of base64url). */
export type OriginKeys =
  | Signer
  | readonly Signer[]
  | ((keyId: string) => Signer | undefined | Promise<Signer | undefined>);

/** What a verifier demands, beside what SPEC "Origin" has covered always. */
export interface VerifyRequestOptions {
  /**
   * The service's **configured** public origin, such as `https://api.example.com`: never a received `Host`, or a signature for another
   * service would pass.
   */
  readonly origin: string;
  /** Fields that have to be there and covered. */
  readonly require?: readonly string[] | undefined;
  /** Refuses what was signed longer ago, in seconds; 300 unless said. */
  readonly maxAge?: number | undefined;
  /** Refuses what its signer wants to be valid for longer, in seconds; 300 unless said. */
  readonly maxValidity?: number | undefined;
  /** How far the clocks may be apart, in seconds, either way; 30 unless said. */
  readonly clockSkew?: number | undefined;
  /** Takes signatures without a nonce. **They can be replayed** while they are valid, and no cache can tell. */
  readonly allowMissingNonce?: boolean | undefined;
  /** The longest body that is read, in bytes; 16 MiB unless said. Above it: `TooLarge`. */
  readonly maxBody?: number | undefined;
  /** Seconds since 1970; the clock's unless said. */
  readonly now?: number | undefined;
}

/** A request whose signature is good, over all that is covered. */
export interface VerifiedRequest {
  /** Who signed it. Whether they *may* is for you to decide. */
  readonly signer: Signer;
  /** What a replay cache keeps: refuse a second request with the same `id` until the second `keepUntil` has passed. */
  readonly nonce?: { readonly id: Uint8Array; readonly created: number; readonly keepUntil: number };
  /**
   * What is known of the body: there is none, every byte of it is the signer's (`whole`), or its first bytes are, and the exchange that
   * begins with them has to verify the rest (`beginning`).
   */
  readonly verifiedBody: "none" | "whole" | "beginning";
  /** The body that was verified. */
  readonly body: Uint8Array;
}

/**
 * Verifies who sent a request, with public keys alone; refuses whatever is not signed. It says *who* and *that nothing was changed*, not
 * *whether they may*, and not *whether it is the first time*: keep `nonce` for that. The head is verified before the body is waited for; how
 * long the body of a known signer may take is for what is in front to bound. Path and query are those of `request.url`, as they were sent.
 * Source: SPEC "Origin", RFC 9421 §3.2.
 *
 * Rejects with `Rejected` for what is not signed, by an unknown key, with less covered than is demanded, or with another body; `Expired` for
 * what is too old, too early or valid for too long; `Malformed` for fields that two readers could understand differently; `TooLarge` above
 * a limit.
 *
 * ```ts
 * const { signer, body } = await verifyRequest(request, devices, { origin: "https://api.example.com" });
 * ```
 */
export async function verifyRequest(
  request: Request,
  keys: OriginKeys,
  options: VerifyRequestOptions,
): Promise<VerifiedRequest> {
  options = chosen(options, "origin", "require", "maxAge", "maxValidity", "clockSkew", "allowMissingNonce", "maxBody", "now");
  const maxBody = Number(unsigned(options.maxBody ?? 16 << 20));
  const reader = request.body?.getReader();
  let head: Held<glue.VerifiedHead> | undefined;
  try {
    // Whether there is a body shows when it comes, and a stranger's may never come: who it is from has to be known before.
    const isProved = ["content-digest", "sealwire-exchange-head"].some((name) => request.headers.has(name));
    head = await verifyHead(request, isProved, keys, options);
    const first = await nextPiece(reader);
    if (isProved !== (first !== undefined)) throw rejected();
    const body = await readBody(reader, first, maxBody);
    const raw = head.object;
    return await run(() => verified(raw, body));
  } finally {
    head?.free();
    reader?.cancel().catch(() => {});
  }
}

async function verifyHead(
  request: Request,
  hasBody: boolean,
  keys: OriginKeys,
  options: VerifyRequestOptions,
): Promise<Held<glue.VerifiedHead>> {
  const verify = (lookup: (keyId: string) => string | undefined) =>
    run(() =>
      scoped((own) => {
        const head = own(new glue.Head(request.method, wellFormed(options.origin), target(request.url).pathAndQuery));
        request.headers.forEach((value, name) => head.add(name, value));
        return new Held(own(policy(options)).verify(head, lookup, hasBody, seconds(options.now)));
      }),
    );
  if (typeof keys !== "function") {
    const signers = Array.isArray(keys) ? (keys as readonly Signer[]) : [keys as Signer];
    return verify((keyId) => signers.find((signer) => signer.keyId === keyId)?.toString());
  }
  // A function may take its time, the module cannot wait: it is asked between two runs.
  let asked: string | undefined;
  try {
    return await verify((keyId) => {
      asked = keyId;
      return undefined;
    });
  } catch (refused) {
    const signer = asked === undefined ? undefined : await keys(asked);
    if (signer === undefined) throw refused;
    return verify((keyId) => (keyId === asked ? signer.toString() : undefined));
  }
}

function policy(options: VerifyRequestOptions): glue.VerifyPolicy {
  const raw = new glue.VerifyPolicy();
  for (const field of options.require ?? []) raw.require(wellFormed(field));
  if (options.maxAge !== undefined) raw.maxAge(unsigned(options.maxAge));
  if (options.maxValidity !== undefined) raw.maxValidity(unsigned(options.maxValidity));
  if (options.clockSkew !== undefined) raw.clockSkew(unsigned(options.clockSkew));
  if (flag(options.allowMissingNonce)) raw.allowMissingNonce();
  return raw;
}

function verified(head: glue.VerifiedHead, body: Uint8Array): VerifiedRequest {
  const id = head.nonceId();
  const [created, keepUntil] = head.nonceTimes();
  return {
    signer: makeSigner(head.signer()),
    ...(id === undefined ? {} : { nonce: { id, created: Number(created), keepUntil: Number(keepUntil) } }),
    verifiedBody: head.body(body) as VerifiedRequest["verifiedBody"],
    body,
  };
}

type Pieces = ReadableStreamDefaultReader<Uint8Array>;

/** The next piece that is not empty: no transport tells an empty body from none reliably. */
async function nextPiece(reader: Pieces | undefined): Promise<Uint8Array | undefined> {
  for (;;) {
    const read = await reader?.read();
    if (read === undefined || read.done) return undefined;
    if (read.value.length > 0) return read.value;
  }
}

async function readBody(reader: Pieces | undefined, first: Uint8Array | undefined, limit: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for (let piece = first; piece !== undefined; piece = await nextPiece(reader)) {
    length += piece.length;
    if (length > limit) throw new SealwireError("TooLarge", "too large: the body of a request");
    pieces.push(piece);
  }
  if (pieces.length === 1 && pieces[0] !== undefined) return pieces[0];
  const body = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    body.set(piece, at);
    at += piece.length;
  }
  return body;
}
