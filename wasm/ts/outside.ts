// Large payloads with WebCrypto's AES: it uses the processor's instructions, on threads of its own. The module does everything but the chunks.

import type { SealContext } from "./context.js";
import { SealwireError, misuse } from "./error.js";
import type { Unlock } from "./keys.js";
import { Held, call, run, scoped } from "./module.js";
import { makeSigner } from "./recipient.js";
import {
  type OpenOptions, type Opened, OpenedPayload, type RawAbout, type Recipients, type SealOptions, aboutOf, rawOpening, rawSealing,
} from "./seal.js";

const CHUNK = 16 * 1024;
const TAG = 16;
const NONCE = 12;
/** Enough to keep WebCrypto's threads busy while results are copied (measured: half of it is a fifth slower). */
const IN_FLIGHT = 16;
/** From here on WebCrypto is faster than the module's ChaCha20-Poly1305, key import and all. */
const SEAL_FROM = 64 * 1024;
/** The module's AES is slow: software without tables. */
const OPEN_FROM = 8 * 1024;

type Bytes = Uint8Array<ArrayBuffer>;

/** Whether {@link sealOutside} is the faster way for this payload, and a possible one. */
export function sealsOutside(payload: Uint8Array, { aead }: SealOptions): payload is Bytes {
  return aead !== "ChaCha20Poly1305" && payload.length >= (aead === undefined ? SEAL_FROM : OPEN_FROM) && isTaken(payload);
}

/** Seals with AES-256-GCM. */
export async function sealOutside(
  payload: Bytes,
  recipients: Recipients,
  context: SealContext,
  options: SealOptions,
): Promise<Bytes> {
  return named(async () => {
    const { length: payloadLength } = payload;
    const still = () => {
      if (payload.length !== payloadLength) throw misuse("the payload was transferred while it was sealed");
    };
    const hash = options.sign === undefined ? undefined : await sha256(payload);
    const [front, closing, length, rawKey, nonces] = (await run(() =>
      scoped((own) =>
        own(rawSealing(recipients, context, options, "Aes256Gcm")).sealOutside(BigInt(payloadLength), hash),
      ),
    )) as [Bytes, Bytes, bigint, Bytes, Bytes];
    const key = await imported(rawKey, "encrypt");
    still();
    const envelope = new Uint8Array(Number(length));
    envelope.set(front);
    // The payload's full chunks as they are; the rest of it with the closing behind.
    const full = Math.floor(payloadLength / CHUNK);
    const rest = new Uint8Array(payloadLength - full * CHUNK + closing.length);
    rest.set(payload.subarray(full * CHUNK));
    rest.set(closing, payloadLength - full * CHUNK);
    try {
      await inFlight(nonces.length / NONCE, async (i) => {
        still();
        const text = i < full ? chunkOf(payload, i, CHUNK) : chunkOf(rest, i - full, CHUNK);
        const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv: chunkOf(nonces, i, NONCE), tagLength: 8 * TAG }, key, text);
        envelope.set(new Uint8Array(sealed), front.length + i * (CHUNK + TAG));
      });
    } finally {
      rest.fill(0);
    }
    return envelope;
  });
}

/** Whether {@link openOutside} is worth a try. */
export function opensOutside(envelope: Uint8Array): envelope is Bytes {
  return envelope.length >= OPEN_FROM && isTaken(envelope);
}

/** Opens what is encrypted with AES-256-GCM; `undefined` if it is not, before any key was used. */
export async function openOutside(
  envelope: Bytes,
  keys: Unlock,
  context: SealContext,
  options: OpenOptions,
): Promise<Opened | undefined> {
  const held = await run(() =>
    scoped((own) => {
      const opening = own(rawOpening(keys, context, options)).openOutside(envelope);
      return opening === undefined ? undefined : new Held(opening);
    }),
  );
  if (held === undefined) return undefined;
  const secrets: Bytes[] = [];
  try {
    return await named(async () => {
      const [frontLength, plainLength, tailLength, isSigned, rawKey, nonces] = call(() => held.object.parts()) as unknown as
        [bigint, bigint, number, boolean, Bytes, Bytes];
      const key = await imported(rawKey, "decrypt");
      const sealed = envelope.subarray(Number(frontLength));
      const decrypted = async (i: number) => {
        const iv = chunkOf(nonces, i, NONCE);
        return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv, tagLength: 8 * TAG }, key, chunkOf(sealed, i, CHUNK + TAG)));
      };
      // The end first: it tells how long the payload is, so that it gets a buffer of exactly that length.
      const count = nonces.length / NONCE;
      const ending = Math.max(Math.floor((Number(plainLength) - tailLength) / CHUNK), 0);
      const end = new Uint8Array(Number(plainLength) - ending * CHUNK);
      secrets.push(end);
      for (let i = ending; i < count; i++) {
        const text = await decrypted(i);
        end.set(text, (i - ending) * CHUNK);
        text.fill(0);
      }
      const tail = end.subarray(Math.max(end.length - tailLength, 0));
      const length = Number(call(() => held.object.payloadLength(tail)));
      const plaintext = new Uint8Array(length);
      const closing = new Uint8Array(Number(plainLength) - length);
      secrets.push(plaintext);
      const place = (text: Uint8Array, at: number) => {
        const split = Math.min(Math.max(length - at, 0), text.length);
        plaintext.set(text.subarray(0, split), Math.min(at, length));
        closing.set(text.subarray(split), Math.max(at - length, 0));
        text.fill(0);
      };
      place(end, ending * CHUNK);
      await inFlight(ending, async (i) => place(await decrypted(i), i * CHUNK));
      const hash = isSigned ? await sha256(plaintext) : undefined;
      const [signer, about] = call(() => held.object.finish(closing, hash)) as [string | undefined, RawAbout];
      return new OpenedPayload(plaintext, {
        ...(signer === undefined ? {} : { signer: makeSigner(signer) }),
        about: aboutOf(about),
      });
    });
  } catch (error) {
    for (const secret of secrets) secret.fill(0);
    throw error;
  } finally {
    held.free();
  }
}

/** WebCrypto is there (a page without TLS has none), and takes memory that nobody else can change or resize. */
function isTaken(bytes: Uint8Array): boolean {
  const { buffer } = bytes;
  return globalThis.crypto?.subtle !== undefined && buffer instanceof ArrayBuffer && !("resizable" in buffer && buffer.resizable);
}

/** Piece number `i` of `whole`, in pieces of `length`. */
function chunkOf(whole: Bytes, i: number, length: number): Bytes {
  return whole.subarray(i * length, (i + 1) * length);
}

/** A key that cannot be read out again. */
async function imported(raw: Bytes, usage: "encrypt" | "decrypt"): Promise<CryptoKey> {
  try {
    return await crypto.subtle.importKey("raw", raw, "AES-GCM", false, [usage]);
  } finally {
    raw.fill(0);
  }
}

async function sha256(bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

/** Runs `work(0)` to `work(count - 1)`, some at a time. When it settles nothing is under way any more, also after a failure. */
async function inFlight(count: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async () => {
    try {
      while (next < count) await work(next++);
    } catch (error) {
      next = count;
      throw error;
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: IN_FLIGHT }, lane));
  for (const settled of lanes) if (settled.status === "rejected") throw settled.reason;
}

/** WebCrypto's errors as this package's: a tag that is wrong is an `OperationError`. */
async function named<T>(operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (cause) {
    if (cause instanceof SealwireError) throw cause;
    if (cause instanceof DOMException && cause.name === "OperationError") {
      throw new SealwireError("Rejected", "rejected: the data was altered or cut short, or belongs to another context, part or signer");
    }
    throw new SealwireError("internal", "internal: WebCrypto failed, or no memory is left", { cause });
  }
}
