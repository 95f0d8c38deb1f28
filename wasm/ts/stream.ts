import type { SealContext } from "./context.js";
import { bare, bytes, chosen, unsigned } from "./context.js";
import { SealwireError } from "./error.js";
import type { Unlock } from "./keys.js";
import { Held, call, glue, load, scoped } from "./module.js";
import { type Signer, makeSigner } from "./recipient.js";
import {
  type About, OPENING, type OpenOptions, type RawAbout, type Recipients, SEALING, type SealOptions, aboutOf, rawOpening, rawSealing,
} from "./seal.js";

/** How much goes into the module at a time: its memory stays small, whatever the payload is. */
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
 * The stream fails as {@link seal} rejects.
 *
 * ```ts
 * const sealed = file.stream().pipeThrough(sealStream([bob], context, { length: file.size }));
 * await fetch(url, { method: "PUT", body: sealed, duplex: "half" });
 * ```
 */
export function sealStream(
  recipients: Recipients,
  context: SealContext,
  options: SealStreamOptions = {},
): TransformStream<Uint8Array | ArrayBuffer, Uint8Array<ArrayBuffer>> {
  options = chosen(options, "length", "signal", ...SEALING);
  let stream: Held<glue.SealStream>;
  return transform(options.signal, {
    start: () => {
      stream = newSealStream(recipients, context, options, options.length);
    },
    push: (piece) => stream.object.push(piece),
    finish: () => stream.object.finish(),
    free: () => stream?.free(),
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
  let stream: Held<glue.OpenStream>;
  const about = promise<About>();
  const finished = promise<Finished>();
  let told = false;
  const tell = () => {
    const raw = told ? undefined : stream.object.about();
    if (raw === undefined) return;
    told = true;
    about.resolve(aboutOf(raw as unknown as RawAbout));
  };
  const { readable, writable } = transform(options.signal, {
    start: () => {
      stream = newOpenStream(keys, context, options);
    },
    push: (piece) => {
      const plaintext = stream.object.push(piece);
      tell();
      return plaintext;
    },
    finish: () => {
      const { plaintext, ...rest } = finishedOf(stream.object);
      finished.resolve(bare(rest));
      return plaintext;
    },
    free: () => stream?.free(),
    failed: (reason) => {
      about.reject(reason);
      finished.reject(reason);
    },
  });
  return { readable, writable, about: about.promise, finished: finished.promise };
}

/** A stream to seal with, inside the module. */
export function newSealStream(
  recipients: Recipients,
  context: SealContext,
  options: SealOptions,
  length: number | bigint | undefined,
): Held<glue.SealStream> {
  return scoped((own) => {
    const sealing = own(rawSealing(recipients, context, options));
    return new Held(new glue.SealStream(sealing, length === undefined ? undefined : unsigned(length)));
  });
}

/** A stream to open with, inside the module. */
export function newOpenStream(keys: Unlock, context: SealContext, options: OpenOptions): Held<glue.OpenStream> {
  return new Held(new glue.OpenStream(rawOpening(keys, context, options)));
}

/** The end of an envelope: the rest of the payload, and what is known of it. */
export function finishedOf(stream: glue.OpenStream): Finished & { plaintext: Uint8Array<ArrayBuffer> } {
  return scoped((own) => {
    const opened = own(stream.finish());
    const signer = opened.signer();
    return {
      plaintext: opened.plaintext() as Uint8Array<ArrayBuffer>,
      ...(signer === undefined ? {} : { signer: makeSigner(signer) }),
      about: aboutOf(opened.about() as unknown as RawAbout),
    };
  });
}

interface Steps {
  start(): void;
  push(piece: Uint8Array): Uint8Array;
  finish(): Uint8Array;
  free(): void;
  failed?(reason: unknown): void;
}

/** The steps as a `TransformStream`, each of them inside the module's care. */
function transform(
  signal: AbortSignal | undefined,
  steps: Steps,
): TransformStream<Uint8Array | ArrayBuffer, Uint8Array<ArrayBuffer>> {
  let over = false;
  let abort: (() => void) | undefined;
  const end = () => {
    over = true;
    if (abort !== undefined) signal?.removeEventListener("abort", abort);
    steps.free();
  };
  const attempt = <T>(operation: () => T): T => {
    try {
      return call(operation);
    } catch (error) {
      if (!over) end();
      steps.failed?.(error);
      throw error;
    }
  };
  const transformer: Transformer<Uint8Array | ArrayBuffer, Uint8Array<ArrayBuffer>> & { cancel(reason: unknown): void } = {
    async start(controller) {
      abort = () => {
        if (over) return;
        end();
        steps.failed?.(signal?.reason);
        controller.error(signal?.reason);
      };
      signal?.addEventListener("abort", abort);
      await load().catch((error: unknown) => {
        steps.failed?.(error);
        throw error;
      });
      if (signal?.aborted) abort();
      else attempt(() => steps.start());
    },
    transform(chunk, controller) {
      for (const piece of pieces(attempt(() => bytes(chunk)))) {
        if (over) return;
        const out = attempt(() => steps.push(piece));
        if (out.length > 0) controller.enqueue(out as Uint8Array<ArrayBuffer>);
      }
    },
    flush(controller) {
      if (over) return;
      const out = attempt(() => steps.finish());
      if (out.length > 0) controller.enqueue(out as Uint8Array<ArrayBuffer>);
      end();
    },
    cancel(reason) {
      if (over) return;
      end();
      steps.failed?.(reason ?? new SealwireError("Truncated", "truncated: the stream was cancelled"));
    },
  };
  return new TransformStream(transformer);
}

/** Views of at most {@link PIECE} bytes. */
export function* pieces(whole: Uint8Array): Generator<Uint8Array> {
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
