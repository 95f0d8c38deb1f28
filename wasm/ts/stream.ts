import { type Bytes, CHUNK, Chunks, SEALED_CHUNK, isFixed, sealedLength, textLength } from "./chunks.js";
import type { SealContext } from "./context.js";
import { bare, bytes, chosen, unsigned } from "./context.js";
import { SealwireError } from "./error.js";
import type { Unlock } from "./keys.js";
import * as glue from "./glue/sealwire.js";
import { Held, call, load, run, scoped } from "./module.js";
import { type Signer, makeSigner } from "./recipient.js";
import {
  type About, OPENING, type OpenOptions, type RawAbout, type Readers, SEALING, type SealOptions, aboutOf, rawOpening, rawSealing, serving,
} from "./seal.js";
import { unlocking } from "./stretch.js";

/** How much is worked on at a time: memory stays small, whatever the payload is. */
export const PIECE = 1 << 20;

/** What to seal a stream with: that of {@link SealOptions}. It is padded only if its length is said. */
export interface SealStreamOptions extends SealOptions {
  /**
   * The payload's exact length in bytes. The envelope is then padded, unless `padding` says otherwise; more or fewer bytes are `Misuse`.
   * Without it the envelope shows the payload's length.
   */
  readonly length?: number | bigint | undefined;
  /** Ends the stream: both sides fail with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** What to open a stream with. */
export interface OpenStreamOptions extends OpenOptions {
  /** Ends the stream: both sides fail with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** What is known of a payload once everything was verified. */
export interface Finished {
  /** Who signed the payload; without it nobody did, and anybody may have written it. */
  readonly signer?: Signer;
  /** What the sealer said about it. */
  readonly about: About;
}

/** Bytes in, bytes out; see {@link openStream}. */
export interface OpenTransform extends ReadableWritablePair<Uint8Array<ArrayBuffer>, Uint8Array | ArrayBuffer> {
  /** What the sealer said about the payload, as soon as the header was opened. */
  readonly about: Promise<About>;
  /** The envelope was complete, and who signed it. **Until then the payload is provisional**, and if it rejects do not use what came. */
  readonly finished: Promise<Finished>;
}

/**
 * Seals what flows through it, with at most 16 KiB held back between two pieces. Source: SPEC §7.
 *
 * What comes out is the envelope. A payload stream that fails or is aborted leaves an envelope without an end, which every reader refuses.
 * The stream fails as {@link seal} rejects. Key services are asked before the first byte comes out.
 *
 * ```ts
 * const sealed = file.stream().pipeThrough(sealStream([toBob], context, { length: file.size }));
 * await fetch(url, { method: "PUT", body: sealed, duplex: "half" });
 * ```
 */
export function sealStream(
  recipients: Readers,
  context: SealContext,
  options: SealStreamOptions = {},
): ReadableWritablePair<Uint8Array<ArrayBuffer>, Uint8Array | ArrayBuffer> {
  options = chosen(options, "length", "signal", ...SEALING);
  let sealing!: Held<glue.SealOutside>;
  let chunks!: Chunks;
  let front: Bytes | undefined;
  const waiting = new Waiting();
  let next = 0;
  /** Chunks of `text`, behind the envelope's front if that is still here. */
  const sealed = async (text: Bytes, length: number) => {
    const at = front?.length ?? 0;
    const out = new Uint8Array(at + length);
    if (front !== undefined) out.set(front);
    front = undefined;
    const first = next;
    next += Math.ceil(length / SEALED_CHUNK);
    await chunks.run(first, text, out.subarray(at));
    return out;
  };
  const full = async (text: Bytes) => {
    const ready = waiting.with(text);
    const length = ready.length - (ready.length % CHUNK);
    const out = length > 0 ? await sealed(ready.subarray(0, length), (length / CHUNK) * SEALED_CHUNK) : undefined;
    waiting.keep(ready.subarray(length));
    return out;
  };
  return transform(options.signal, {
    async start() {
      const length = options.length === undefined ? undefined : unsigned(options.length);
      front = await serving(recipients, context, options, async (recipients) => {
        sealing = await run(() => scoped((own) => new Held(new glue.SealOutside(own(rawSealing(recipients, context, options)), length))));
        const [front] = call(() => sealing.object.parts()) as unknown as [Bytes];
        return front;
      });
      chunks = await Chunks.with(call(() => sealing.object.key()), "seal");
    },
    async push(piece) {
      call(() => {
        if (options.sign === undefined) sealing.object.count(BigInt(piece.length));
        else sealing.object.push(piece);
      });
      return full(piece);
    },
    async *finish() {
      const [zeros, tail] = call(() => sealing.object.finish()) as unknown as [bigint, Bytes];
      for (let left = Number(zeros); left > 0; left -= PIECE) yield full(new Uint8Array(Math.min(left, PIECE)));
      yield full(tail);
      const last = waiting.with(new Uint8Array());
      yield sealed(last, sealedLength(last.length));
    },
    free() {
      waiting.wipe();
      (chunks as Chunks | undefined)?.free();
      (sealing as Held<glue.SealOutside> | undefined)?.free();
    },
  });
}

/**
 * Opens an envelope that flows through it.
 *
 * Plaintext comes out in authenticated chunks of 16 KiB, **before** the end was seen: treat it as provisional until `finished` says that the
 * envelope was complete, and who signed it. The stream fails as {@link open} rejects, as soon as that is certain; an envelope that ends too
 * early is `Truncated`, or `Rejected` if it ends inside a chunk. Where a part must not be acted on, use {@link open}. Source: SPEC §11.
 *
 * ```ts
 * const opening = openStream(bob, context, { expect: alice.signer });
 * await response.body.pipeThrough(opening).pipeTo(await handle.createWritable());
 * await opening.finished;
 * ```
 */
export function openStream(keys: Unlock, context: SealContext, options: OpenStreamOptions = {}): OpenTransform {
  options = chosen(options, "signal", ...OPENING);
  const about = promise<About>();
  const finished = promise<Finished>();
  let opening: Held<glue.OpenStreamOutside> | undefined;
  let chunks!: Chunks;
  let holdsBack = false;
  const waiting = new Waiting();
  let next = 0;
  /** What of these chunks is payload. */
  const opened = async (sealed: Bytes) => {
    const text = new Uint8Array(textLength(sealed.length));
    const first = next;
    next += Math.ceil(sealed.length / SEALED_CHUNK);
    await chunks.run(first, sealed, text);
    if (!holdsBack || opening === undefined) return text;
    const { object } = opening;
    try {
      return call(() => object.push(text)) as Bytes;
    } finally {
      text.fill(0);
    }
  };
  /** How long the envelope's front is, once that is known; until then how much has to be there for another look. */
  let frontLength: number | undefined;
  let look = 0;
  const begin = async (received: Bytes) => {
    if (frontLength === undefined && received.length >= look) {
      frontLength = call(() => glue.frontLen(received));
      look = received.length + (received.length >> 2);
    }
    if (frontLength === undefined || received.length < frontLength) return false;
    const front = received.subarray(0, frontLength);
    opening = await unlocking(keys, (keys) =>
      run(() => scoped((own) => new Held(new glue.OpenStreamOutside(front, own(rawOpening(keys, context, options)))))),
    );
    const { object } = opening;
    const [holds, raw] = call(() => object.parts()) as unknown as [boolean, RawAbout];
    holdsBack = holds;
    chunks = await Chunks.with(call(() => object.key()), "open");
    about.resolve(aboutOf(raw));
    return true;
  };
  const { readable, writable } = transform(options.signal, {
    async push(piece) {
      let ready = waiting.with(piece);
      if (opening === undefined) {
        if (!(await begin(ready))) {
          waiting.keep(ready);
          return undefined;
        }
        ready = ready.subarray(frontLength);
      }
      // The last chunk is always short, so every full one can be opened at once.
      const length = ready.length - (ready.length % SEALED_CHUNK);
      const out = length > 0 ? await opened(ready.subarray(0, length)) : undefined;
      waiting.keep(ready.subarray(length));
      return out;
    },
    async *finish() {
      let last = waiting.with(new Uint8Array());
      look = 0;
      if (opening === undefined && (await begin(last))) last = last.subarray(frontLength);
      if (opening === undefined || textLength(last.length) < 0 || last.length === 0) {
        throw new SealwireError("Truncated", "truncated: the input ends too early");
      }
      const held = opening;
      const beginning = await opened(last);
      const { plaintext, ...rest } = call(() => finishedOf(held.object));
      yield beginning;
      yield plaintext;
      finished.resolve(bare(rest));
    },
    free() {
      waiting.wipe();
      (chunks as Chunks | undefined)?.free();
      opening?.free();
    },
    failed(reason) {
      about.reject(reason);
      finished.reject(reason);
    },
  });
  return { readable, writable, about: about.promise, finished: finished.promise };
}

/** The end of an envelope: the rest of the payload, and what is known of it. */
function finishedOf(stream: glue.OpenStreamOutside): Finished & { plaintext: Bytes } {
  return scoped((own) => {
    const opened = own(stream.finish());
    const signer = opened.signer();
    return {
      plaintext: opened.plaintext() as Bytes,
      ...(signer === undefined ? {} : { signer: makeSigner(signer) }),
      about: aboutOf(opened.about() as unknown as RawAbout),
    };
  });
}

/** Bytes that wait for more. What it leaves behind is wiped. */
class Waiting {
  #bytes = new Uint8Array(2 * SEALED_CHUNK);
  #length = 0;

  /** What waits, and `piece` behind it, until the next call. */
  with(piece: Bytes): Bytes {
    if (this.#length === 0) return piece;
    const length = this.#length + piece.length;
    if (length > this.#bytes.length) {
      const longer = new Uint8Array(Math.max(length, 2 * this.#bytes.length));
      longer.set(this.#bytes.subarray(0, this.#length));
      this.#bytes.fill(0);
      this.#bytes = longer;
    }
    this.#bytes.set(piece, this.#length);
    return this.#bytes.subarray(0, length);
  }

  /** Lets this wait, the end of what {@link Waiting.with} gave, and nothing else. */
  keep(end: Bytes): void {
    if (end.length > this.#bytes.length) this.#bytes = new Uint8Array(end.length);
    this.#bytes.set(end);
    this.#bytes.fill(0, end.length);
    this.#length = end.length;
  }

  wipe(): void {
    this.#bytes.fill(0);
    this.#length = 0;
  }
}

interface Steps {
  start?(): Promise<void>;
  push(piece: Bytes): Promise<Bytes | undefined>;
  finish(): AsyncIterable<Bytes | undefined>;
  free(): void;
  failed?(reason: unknown): void;
}

/**
 * The steps between two streams, connected as those of a `TransformStream` are: what is written waits until somebody reads. It is none, since
 * Chromium's does not tell its steps that a side was given up, and `finished` would wait for ever.
 */
function transform(signal: AbortSignal | undefined, steps: Steps): ReadableWritablePair<Bytes, Uint8Array | ArrayBuffer> {
  let over = false;
  let from!: WritableStreamDefaultController;
  let to!: ReadableStreamDefaultController<Bytes>;
  let isWanted = false;
  let go = () => {};
  const end = () => {
    over = true;
    signal?.removeEventListener("abort", abort);
    steps.free();
    go();
  };
  /** Both sides fail. */
  const fail = (reason: unknown) => {
    if (over) return;
    end();
    steps.failed?.(reason);
    to.error(reason);
    from.error(reason);
  };
  const abort = () => fail(signal?.reason);
  const given = (reason: unknown) => fail(reason ?? new SealwireError("Truncated", "truncated: the stream was cancelled"));
  const put = (piece: Bytes | undefined) => {
    if (over || !piece?.length) return;
    isWanted = false;
    to.enqueue(piece);
  };
  /** Nothing comes of what fails after the end. */
  const attempt = async (operation: () => Promise<void>) => {
    try {
      await operation();
    } catch (thrown) {
      if (over) return;
      fail(thrown);
      throw thrown;
    } finally {
      // What was made meanwhile.
      if (over) steps.free();
    }
  };
  const readable = new ReadableStream<Bytes>(
    {
      start(controller) {
        to = controller;
      },
      pull() {
        isWanted = true;
        go();
      },
      cancel: given,
    },
    { highWaterMark: 0 },
  );
  const writable = new WritableStream<Uint8Array | ArrayBuffer>({
    start(controller) {
      from = controller;
      signal?.addEventListener("abort", abort);
      return attempt(async () => {
        await load();
        if (signal?.aborted) abort();
        else await steps.start?.();
      });
    },
    write(chunk) {
      return attempt(async () => {
        while (!isWanted && !over) await new Promise<void>((resolve) => (go = resolve));
        for (const piece of pieces(bytes(chunk))) {
          if (over) return;
          put(await steps.push(isFixed(piece) ? piece : piece.slice()));
        }
      });
    },
    close() {
      return attempt(async () => {
        if (over) return;
        for await (const piece of steps.finish()) {
          if (over) return;
          put(piece);
        }
        end();
        to.close();
      });
    },
    abort: given,
  });
  return { readable, writable };
}

/** Views of at most {@link PIECE} bytes. */
function* pieces(whole: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < whole.length; at += PIECE) yield whole.subarray(at, at + PIECE);
}

/** A promise and its ends. Nobody has to look at it: a rejection that nobody hears is no error of the program. */
function promise<T>(): { promise: Promise<T>; resolve(value: T): void; reject(reason: unknown): void } {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const made = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  made.catch(() => {});
  return { promise: made, resolve, reject };
}
