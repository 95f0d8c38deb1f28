import { type SealContext, bytes, chosen, unsigned } from "./context.js";
import { misuse } from "./error.js";
import type { Unlock } from "./keys.js";
import { Held, call, glue, run, scoped } from "./module.js";
import { type About, OPENING, type OpenOptions, type RawAbout, aboutOf, rawOpening } from "./seal.js";
import { PIECE } from "./stream.js";

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
  readonly #source: RangeSource;
  readonly #held: Held<glue.RangeOpener>;
  /** How many bytes the payload has. */
  readonly size: number;
  /** What the sealer said about the payload. */
  readonly about: About;

  private constructor(source: RangeSource, raw: glue.RangeOpener) {
    this.#source = source;
    this.#held = new Held(raw);
    this.size = Number(raw.len());
    this.about = aboutOf(raw.about() as unknown as RawAbout);
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
    const start = await run(() =>
      scoped((own) => {
        const opening = own(rawOpening(keys, context, options));
        return new Held(new glue.RangeStart(front, BigInt(from.size), opening));
      }),
    );
    try {
      const sealed = await readRange(from, call(() => start.object.sealed()), options.signal);
      return call(() => new SealedBlob(from, start.object.finish(sealed)));
    } finally {
      start.free();
    }
  }

  /**
   * The payload's bytes from `start` up to and not including `end`, all verified. `Misuse` if that is not within the payload, or more
   * than fits into memory; `Rejected` if a chunk was altered; `Truncated` if the source gives less than it said.
   */
  async read(start: number, end: number, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<Uint8Array> {
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
    this.#held.free();
  }

  /** The same as {@link SealedBlob.free}, for `using`. */
  [Symbol.dispose](): void {
    this.free();
  }

  async #read(start: number, end: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const [from, to] = [BigInt(start), BigInt(end)];
    const sealed = await readRange(this.#source, call(() => this.#held.object.sealed(from, to)), signal);
    return call(() => this.#held.object.open(from, to, sealed));
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

function readRange(source: RangeSource, range: BigUint64Array, signal: AbortSignal | undefined): Promise<Uint8Array> {
  return read(source, Number(range[0]), Number(range[1]), signal);
}

async function read(source: RangeSource, start: number, end: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
  signal?.throwIfAborted();
  const got = await source.read(start, end, signal);
  // What a server sends beyond is not put into the module's memory.
  return bytes(got).subarray(0, end - start);
}
