// Large payloads in one call: the module does everything but the chunks, which go from one buffer into the other.

import { type Bytes, CHUNK, Chunks, SEALED_CHUNK, isFixed } from "./chunks.js";
import type { SealContext } from "./context.js";
import { misuse } from "./error.js";
import type { Unlock } from "./keys.js";
import * as glue from "./glue/sealwire.js";
import { Held, call, run, scoped } from "./module.js";
import { makeSigner } from "./recipient.js";
import {
  type OpenOptions, type Opened, OpenedPayload, type RawAbout, type Recipients, type SealOptions, aboutOf, rawOpening, rawSealing,
} from "./seal.js";

/** From here on it is faster than the module alone, which gets the payload as a whole. */
const SEAL_FROM = 64 * 1024;
/** The same where AES-256-GCM was asked for, and to open. */
const OPEN_FROM = 8 * 1024;
/** What the platform cannot take is left to the module: all of it on a page without TLS, and up to here memory that may change meanwhile. */
const AT_ONCE = 4 << 20;

/** A payload for {@link sealOutside}, where that is the better way. */
export function sealsOutside(payload: Uint8Array, { aead }: SealOptions): Bytes | undefined {
  return payload.length < (aead === undefined ? SEAL_FROM : OPEN_FROM) ? undefined : fixed(payload);
}

/** An envelope for {@link openOutside}, where that is the better way. */
export function opensOutside(envelope: Uint8Array): Bytes | undefined {
  return envelope.length < OPEN_FROM ? undefined : fixed(envelope);
}

function fixed(bytes: Uint8Array): Bytes | undefined {
  if (globalThis.crypto?.subtle === undefined) return undefined;
  if (isFixed(bytes)) return bytes;
  return bytes.length <= AT_ONCE ? undefined : bytes.slice();
}

/** Seals, with AES-256-GCM if nothing else was chosen. */
export async function sealOutside(payload: Bytes, recipients: Recipients, context: SealContext, options: SealOptions): Promise<Bytes> {
  const { length } = payload;
  const aead = options.aead ?? "Aes256Gcm";
  const sealing = await run(() =>
    scoped((own) => new Held(new glue.SealOutside(own(rawSealing(recipients, context, { ...options, aead })), BigInt(length)))),
  );
  return sealWith(sealing, payload, length, options.sign !== undefined);
}

/** Opens. */
export async function openOutside(envelope: Bytes, keys: Unlock, context: SealContext, options: OpenOptions): Promise<Opened> {
  const opening = await newOpening(envelope, keys, context, options);
  try {
    return await openWith(opening, envelope);
  } finally {
    opening.free();
  }
}

/** Opens, and seals anew to others. */
export async function resealOutside(
  envelope: Bytes,
  keys: Unlock,
  context: SealContext,
  recipients: Recipients,
  options: SealOptions & OpenOptions,
): Promise<Bytes> {
  const opening = await newOpening(envelope, keys, context, options);
  try {
    const { plaintext, signer } = await openWith(opening, envelope);
    try {
      if (signer !== undefined && options.sign === undefined) throw misuse("the envelope is signed: reseal with a signer");
      const sealing = call(() =>
        scoped((own) => {
          const sealing = own(rawSealing(recipients, context, options));
          sealing.keeping(opening.object);
          return new Held(new glue.SealOutside(sealing, BigInt(plaintext.length)));
        }),
      );
      return await sealWith(sealing, plaintext, plaintext.length, options.sign !== undefined);
    } finally {
      plaintext.fill(0);
    }
  } finally {
    opening.free();
  }
}

/** Seals a payload of this length, and frees `sealing`. */
async function sealWith(sealing: Held<glue.SealOutside>, payload: Bytes, length: number, isSigning: boolean): Promise<Bytes> {
  const still = () => {
    if (payload.length !== length) throw misuse("the payload was transferred while it was sealed");
  };
  let chunks: Chunks | undefined;
  let rest: Bytes | undefined;
  try {
    const [front, sealedLength] = call(() => sealing.object.parts()) as unknown as [Bytes, bigint];
    chunks = await Chunks.with(call(() => sealing.object.key()), "seal");
    const envelope = new Uint8Array(Number(sealedLength));
    envelope.set(front);
    const body = envelope.subarray(front.length);
    const full = Math.floor(length / CHUNK);
    still();
    const [hash] = await Promise.all([
      isSigning ? sha256(payload) : undefined,
      chunks.run(0, payload.subarray(0, full * CHUNK), body.subarray(0, full * SEALED_CHUNK)),
    ]);
    still();
    const [zeros, tail] = call(() => {
      sealing.object.count(BigInt(length));
      return sealing.object.finish(hash);
    }) as unknown as [bigint, Bytes];
    const beyond = length - full * CHUNK;
    rest = new Uint8Array(beyond + Number(zeros) + tail.length);
    rest.set(payload.subarray(full * CHUNK));
    rest.set(tail, beyond + Number(zeros));
    await chunks.run(full, rest, body.subarray(full * SEALED_CHUNK));
    return envelope;
  } finally {
    rest?.fill(0);
    chunks?.free();
    sealing.free();
  }
}

function newOpening(envelope: Bytes, keys: Unlock, context: SealContext, options: OpenOptions): Promise<Held<glue.OpenOutside>> {
  return run(() =>
    scoped((own) => new Held(new glue.OpenOutside(envelope, BigInt(envelope.length), own(rawOpening(keys, context, options))))),
  );
}

async function openWith(opening: Held<glue.OpenOutside>, envelope: Bytes): Promise<OpenedPayload> {
  const secrets: Bytes[] = [];
  const secret = (length: number) => {
    const bytes = new Uint8Array(length);
    secrets.push(bytes);
    return bytes;
  };
  let chunks: Chunks | undefined;
  try {
    const [frontLength, plainLength, tailLength, isSigned, about] = call(() => opening.object.parts()) as unknown as
      [bigint, bigint, number, boolean, RawAbout];
    chunks = await Chunks.with(call(() => opening.object.key()), "open");
    const sealed = envelope.subarray(Number(frontLength));
    const total = Number(plainLength);
    // The end first: it tells how long the payload is, so that it gets a buffer of exactly that length.
    const ending = Math.floor(Math.max(total - tailLength, 0) / CHUNK);
    const end = secret(total - ending * CHUNK);
    await chunks.run(ending, sealed.subarray(ending * SEALED_CHUNK), end);
    const tail = end.subarray(Math.max(end.length - tailLength, 0));
    const length = Number(call(() => opening.object.payloadLength(tail)));
    const plaintext = secret(length);
    // What is payload alone goes where it belongs; what follows goes elsewhere, with the payload's last bytes before it.
    const full = Math.min(Math.floor(length / CHUNK), ending);
    const rest = secret(total - full * CHUNK);
    rest.set(end, (ending - full) * CHUNK);
    await chunks.run(0, sealed.subarray(0, full * SEALED_CHUNK), plaintext.subarray(0, full * CHUNK));
    await chunks.run(full, sealed.subarray(full * SEALED_CHUNK, ending * SEALED_CHUNK), rest.subarray(0, (ending - full) * CHUNK));
    const beyond = length - full * CHUNK;
    plaintext.set(rest.subarray(0, beyond), full * CHUNK);
    const hash = isSigned ? await sha256(plaintext) : undefined;
    const signer = call(() => opening.object.finish(rest.subarray(beyond), hash));
    end.fill(0);
    rest.fill(0);
    return new OpenedPayload(plaintext, {
      ...(signer === undefined ? {} : { signer: makeSigner(signer) }),
      about: aboutOf(about),
    });
  } catch (error) {
    for (const bytes of secrets) bytes.fill(0);
    throw error;
  } finally {
    chunks?.free();
  }
}

async function sha256(bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}
