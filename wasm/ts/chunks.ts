// The chunks of one body (SPEC §7), encrypted and decrypted by what is fastest for their AEAD: the platform where it can, else the module.

import { SealwireError, misuse } from "./error.js";
import * as glue from "./glue/sealwire.js";
import { Held, call } from "./module.js";
import type { Aead } from "./seal.js";

export const CHUNK = 16 * 1024;
const TAG = 16;
export const SEALED_CHUNK = CHUNK + TAG;
/** Enough to keep WebCrypto's threads busy while results are copied. */
const IN_FLIGHT = 16;
/** How many milliseconds a task may take that computes, before others get their turn. */
const TURN = 8;

export type Bytes = Uint8Array<ArrayBuffer>;
export type Direction = "seal" | "open";

/** A chunk from one buffer into the other, which have exactly its lengths: at once, or later. */
type Step = (index: number, from: Bytes, to: Bytes) => void | Promise<void>;

/** A platform's AEAD that answers at once; `false` is a wrong tag. Nothing, if it does not know the AEAD. */
export type Native = (aead: Aead, direction: Direction, key: Bytes) => ((nonce: Bytes, from: Bytes, to: Bytes) => boolean) | undefined;

let native: Native | undefined;

/** Called by the entry file of a platform that has one. */
export function cipherWith(entry: Native): void {
  native ??= entry;
}

/** Whether there is something faster than the module's AES, which is software without tables. */
export function hasFastAes(): boolean {
  return native !== undefined || globalThis.crypto?.subtle !== undefined;
}

/** Memory that nobody else can change or resize: WebCrypto takes no other. */
export function isFixed(bytes: Uint8Array): bytes is Bytes {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer && !("resizable" in buffer && buffer.resizable);
}

/** Seals or opens the chunks of one body. */
export class Chunks {
  readonly #from: number;
  readonly #to: number;
  readonly #step: Step;
  readonly #lanes: number;
  readonly #wipe: () => void;
  #isOver = false;

  private constructor(direction: Direction, step: Step, lanes: number, wipe: () => void) {
    [this.#from, this.#to] = direction === "seal" ? [CHUNK, SEALED_CHUNK] : [SEALED_CHUNK, CHUNK];
    this.#step = step;
    this.#lanes = lanes;
    this.#wipe = wipe;
  }

  /** Takes what the module's objects say as their `key()`. */
  static async with(raw: unknown[], direction: Direction): Promise<Chunks> {
    const [aead, key, nonce, object] = raw as [Aead, Bytes, Bytes, glue.Chunks];
    const own = new Held(object);
    const platform = native?.(aead, direction, key);
    if (platform !== undefined) {
      own.free();
      const step = (index: number, from: Bytes, to: Bytes) => {
        if (!platform(nonceOf(nonce, index), from, to)) throw rejected();
      };
      return new Chunks(direction, step, 1, () => key.fill(0));
    }
    try {
      if (aead === "Aes256Gcm" && globalThis.crypto?.subtle !== undefined) {
        own.free();
        return new Chunks(direction, await webCrypto(key, nonce, direction), IN_FLIGHT, () => {});
      }
    } finally {
      key.fill(0);
    }
    const step = (index: number, from: Bytes, to: Bytes) => call(() => own.object[direction](BigInt(index), from, to));
    return new Chunks(direction, step, 1, () => own.free());
  }

  /**
   * Chunks from number `first` on. `to` has exactly their length. When it settles nothing is under way any more, also after a failure;
   * what `to` holds then is not to be used.
   */
  async run(first: number, from: Bytes, to: Bytes): Promise<void> {
    const { length } = from;
    // The last chunk of a body is short, and may be empty; then its tag still is a chunk.
    const count = Math.ceil(Math.max(from.length / this.#from, to.length / this.#to));
    let next = 0;
    const lane = async () => {
      try {
        while (next < count) {
          if (this.#isOver) throw misuse("it was freed");
          if (from.length !== length) throw misuse("its memory was transferred meanwhile");
          const i = next++;
          const start = performance.now();
          const pending = this.#step(first + i, part(from, i, this.#from), part(to, i, this.#to));
          if (pending !== undefined) await pending;
          const turn = worked(pending === undefined ? performance.now() - start : 0);
          if (turn !== undefined) await turn;
        }
      } catch (error) {
        next = count;
        throw error;
      }
    };
    const lanes = await Promise.allSettled(Array.from({ length: Math.min(this.#lanes, count) }, lane));
    for (const settled of lanes) if (settled.status === "rejected") throw settled.reason;
  }

  /** Wipes the key. What is under way fails. */
  free(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#wipe();
  }
}

/** How long chunks are when they are sealed, the last of a body among them. */
export function sealedLength(text: number): number {
  return text + (Math.floor(text / CHUNK) + 1) * TAG;
}

/** How long the text of sealed chunks is; negative if the last one is too short to be one. */
export function textLength(sealed: number): number {
  return sealed - Math.ceil(sealed / SEALED_CHUNK) * TAG;
}

export function rejected(cause?: unknown): SealwireError {
  return new SealwireError("Rejected", "rejected: the data was altered or cut short, or belongs to another context, part, signer or service", { cause });
}

async function webCrypto(raw: Bytes, nonce: Bytes, direction: Direction): Promise<Step> {
  const { subtle } = crypto;
  const usage = direction === "seal" ? "encrypt" : "decrypt";
  try {
    // It cannot be read out again.
    const key = await subtle.importKey("raw", raw, "AES-GCM", false, [usage]);
    return async (index, from, to) => {
      try {
        const out = new Uint8Array(await subtle[usage]({ name: "AES-GCM", iv: nonceOf(nonce, index), tagLength: 128 }, key, from));
        to.set(out);
        if (direction === "open") out.fill(0);
      } catch (cause) {
        throw named(cause);
      }
    };
  } catch (cause) {
    throw named(cause);
  }
}

/** WebCrypto's errors as this package's: a tag that is wrong is an `OperationError`. */
function named(cause: unknown): SealwireError {
  if (cause instanceof DOMException && cause.name === "OperationError") return rejected();
  return new SealwireError("internal", "internal: WebCrypto failed, or no memory is left", { cause });
}

/** Base nonce XOR the chunk's number as a 12-byte big-endian integer. */
function nonceOf(base: Bytes, index: number): Bytes {
  const nonce = base.slice();
  const view = new DataView(nonce.buffer);
  view.setUint32(4, view.getUint32(4) ^ Math.floor(index / 2 ** 32));
  view.setUint32(8, view.getUint32(8) ^ index % 2 ** 32);
  return nonce;
}

/** Piece number `i`, in pieces of `size`. */
function part(whole: Bytes, i: number, size: number): Bytes {
  return whole.subarray(i * size, (i + 1) * size);
}

let spent = 0;
let last = 0;
let turn: Promise<void> | undefined;

/**
 * Lets other tasks run when all that is under way has computed too much for one, or was answered by WebCrypto for as long: a browser may
 * prefer those answers to everything else.
 */
function worked(milliseconds: number): Promise<void> | undefined {
  if (turn !== undefined) return turn;
  const now = performance.now();
  spent += milliseconds;
  if (milliseconds === 0 && now - last > 4 * TURN) last = now; // It begins.
  if (spent < TURN && (milliseconds > 0 || now - last < TURN)) return undefined;
  turn = nextTask().then(() => {
    [spent, last, turn] = [0, performance.now(), undefined];
  });
  return turn;
}

/** Not `scheduler.yield`, after which messages and timers still wait; and without the 4 ms that a nested `setTimeout` costs. */
function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
