import { type Bytes, CHUNK, Chunks, SEALED_CHUNK, isFixed, textLength } from "./chunks.js";
import { type SealContext, bytes, chosen, unsigned } from "./context.js";
import { SealwireError, misuse } from "./error.js";
import type { Unlock } from "./keys.js";
import * as glue from "./glue/sealwire.js";
import { Held, call, run, scoped } from "./module.js";
import { type About, OPENING, type OpenOptions, type RawAbout, aboutOf, rawOpening } from "./seal.js";
import { unlessAborted } from "./passing.js";
import { PIECE } from "./stream.js";
import { unlocking } from "./stretch.js";

/** Where sealed bytes come from: a file, a server that answers `Range` requests. */
export interface RangeSource {
  /** How many bytes there are. */
  readonly size: number;
  /** The bytes from `start` up to and not including `end`; exactly as many. */
  read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array | ArrayBuffer>;
}

/** Longer than most headers, so that one read mostly suffices. */
const FRONT = 16 * 1024;
const MAX_FRONT = 2 * 1024 * 1024 + 56;

/**
 * An envelope that is read at random: any range of the payload costs the chunks (16 KiB) that it touches.
 *
 * What it gives is authenticated, for its place in this envelope, and so is the payload's length. It never knows who signed: a signature
 * covers the whole payload, so only a full read yields a signer. `expect` is still checked against what the header claims.
 *
 * ```ts
 * const video = await SealedBlob.open(file, bob, context);
 * const first = await video.read(0, 1024);
 * ```
 */
export class SealedBlob {
  readonly #body: Body;
  /** How many bytes the payload has. */
  readonly size: number;
  /** What the sealer said about the payload. */
  readonly about: About;

  private constructor(body: Body, size: number, about: About) {
    this.#body = body;
    this.size = size;
    this.about = about;
  }

  /**
   * Reads the header, unlocks it, and authenticates the payload's length. Rejects as {@link open} does for what concerns header, keys and
   * the last chunk, and with whatever the source rejects with.
   */
  static async open(
    source: Blob | RangeSource,
    keys: Unlock,
    context: SealContext,
    options: OpenOptions & { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<SealedBlob> {
    options = chosen(options, "signal", ...OPENING);
    const from = source instanceof Blob ? blobSource(source) : { size: Number(unsigned(source.size)), read: source.read.bind(source) };
    let front = await read(from, 0, Math.min(FRONT, from.size), options.signal);
    for (;;) {
      const wanted = await run(() => glue.frontLen(front));
      if (wanted !== undefined && wanted <= front.length) break;
      const next = Math.min(wanted ?? MAX_FRONT, from.size);
      if (next <= front.length) break; // Too short: the next step says so.
      front = await read(from, 0, next, options.signal);
    }
    const opening = await unlocking(keys, (keys) =>
      run(() => scoped((own) => new Held(new glue.OpenOutside(front, BigInt(from.size), own(rawOpening(keys, context, options)))))),
    );
    let body: Body | undefined;
    try {
      const { object } = opening;
      const [frontLength, plainLength, tailLength, , about] = call(() => object.parts()) as unknown as
        [bigint, bigint, number, boolean, RawAbout];
      body = new Body(from, Number(frontLength), await Chunks.with(call(() => object.key()), "open"));
      // The last chunk, which authenticates the length, and the one before it where the plaintext's end crosses into it.
      const total = Number(plainLength);
      const end = await body.open(Math.floor(Math.max(total - tailLength, 0) / CHUNK), Math.floor(total / CHUNK) + 1, options.signal);
      const tail = end.subarray(Math.max(end.length - tailLength, 0));
      return new SealedBlob(body, Number(call(() => object.payloadLength(tail))), aboutOf(about));
    } catch (error) {
      body?.free();
      throw error;
    } finally {
      opening.free();
    }
  }

  /**
   * The payload's bytes from `start` up to and not including `end`, all verified. `Misuse` if that is not within the payload, or more
   * than fits into memory; `Rejected` if a chunk was altered; `Truncated` if the source gives less than it said.
   */
  async read(start: number, end: number, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<Uint8Array> {
    options = chosen(options, "signal");
    if (!(Number.isSafeInteger(start) && Number.isSafeInteger(end))) throw misuse("a range is made of integers");
    if (start < 0 || start > end || end > this.size) throw misuse("a range that is not within the payload");
    if (end - start <= PIECE) return this.#read(start, end, options.signal);
    const whole = room(end - start);
    for (let at = start; at < end; at += PIECE) {
      whole.set(await this.#read(at, Math.min(at + PIECE, end), options.signal), at - start);
    }
    return whole;
  }

  /** The same range as a stream of verified pieces of at most 1 MiB, which are read when they are asked for. */
  stream(start = 0, end = this.size, options: { readonly signal?: AbortSignal | undefined } = {}): ReadableStream<Uint8Array> {
    let at = start;
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const next = Math.min(at + PIECE, end);
          const piece = await this.read(at, next, options);
          at = next;
          if (piece.length > 0) controller.enqueue(piece);
          if (at >= end) controller.close();
        },
      },
      { highWaterMark: 0 },
    );
  }

  /** Wipes the key. Every later use is `Misuse`. */
  free(): void {
    this.#body.free();
  }

  /** The same as {@link SealedBlob.free}, for `using`. */
  [Symbol.dispose](): void {
    this.free();
  }

  async #read(start: number, end: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    // An empty range is looked at, too: its chunk has to be right.
    const first = Math.floor(start / CHUNK);
    const text = await this.#body.open(first, Math.max(Math.ceil(end / CHUNK), first + 1), signal);
    const [from, to] = [start - first * CHUNK, end - first * CHUNK];
    if (from === 0 && to === text.length) return text;
    const part = text.slice(from, to);
    text.fill(0);
    return part;
  }
}

/** The sealed chunks, where they are. */
class Body {
  readonly #source: RangeSource;
  readonly #start: number;
  readonly #chunks: Chunks;

  constructor(source: RangeSource, start: number, chunks: Chunks) {
    this.#source = source;
    this.#start = start;
    this.#chunks = chunks;
  }

  /** The text of the chunks from number `first` up to and not including `end`. */
  async open(first: number, end: number, signal: AbortSignal | undefined): Promise<Bytes> {
    const at = (chunk: number) => Math.min(this.#start + chunk * SEALED_CHUNK, this.#source.size);
    const given = await read(this.#source, at(first), at(end), signal);
    if (given.length !== at(end) - at(first)) throw new SealwireError("Truncated", "truncated: the input ends too early");
    const sealed = isFixed(given) ? given : given.slice();
    const text = new Uint8Array(textLength(sealed.length));
    try {
      await this.#chunks.run(first, sealed, text);
      return text;
    } catch (error) {
      text.fill(0);
      throw error;
    }
  }

  free(): void {
    this.#chunks.free();
  }
}

/** The length may be any that a sealer has claimed, of a file that is not there. */
function room(length: number): Uint8Array {
  try {
    return new Uint8Array(length);
  } catch {
    throw misuse("a range that does not fit into memory");
  }
}

function blobSource(blob: Blob): RangeSource {
  return { size: blob.size, read: (start, end) => blob.slice(start, end).arrayBuffer() };
}

async function read(source: RangeSource, start: number, end: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
  signal?.throwIfAborted();
  // A source that knows nothing of the signal may never answer.
  const got = await unlessAborted(signal, source.read(start, end, signal));
  // What a server sends beyond is not put into the module's memory.
  return bytes(got).subarray(0, end - start);
}
