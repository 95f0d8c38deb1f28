// Large payloads in one call: the module works on a piece at a time, so that its memory stays small, and other tasks get their turn between.

import type { SealContext } from "./context.js";
import type { Unlock } from "./keys.js";
import { call, run } from "./module.js";
import {
  type OpenOptions, type Opened, OpenedPayload, type Recipients, type SealOptions,
} from "./seal.js";
import { finishedOf, newOpenStream, newSealStream, pieces } from "./stream.js";

/** Up to here the module gets the payload as a whole. */
export const AT_ONCE = 4 << 20;
/** How many pieces a task takes: a few milliseconds. */
const PIECES_PER_TASK = 4;

export async function sealPieces(
  payload: Uint8Array,
  recipients: Recipients,
  context: SealContext,
  options: SealOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const stream = await run(() => newSealStream(recipients, context, options, payload.length));
  try {
    const envelope = new Uint8Array(Number(call(() => stream.object.sealedLen())));
    let at = 0;
    const put = (sealed: Uint8Array) => {
      envelope.set(sealed, at);
      at += sealed.length;
    };
    let count = 0;
    for (const piece of pieces(payload)) {
      if (count++ % PIECES_PER_TASK === PIECES_PER_TASK - 1) await nextTask();
      put(call(() => stream.object.push(piece)));
    }
    put(call(() => stream.object.finish()));
    return envelope;
  } finally {
    stream.free();
  }
}

export async function openPieces(
  envelope: Uint8Array,
  keys: Unlock,
  context: SealContext,
  options: OpenOptions,
): Promise<Opened> {
  const stream = await run(() => newOpenStream(keys, context, options));
  // Not shown to anybody before everything was verified.
  const plaintext = new Uint8Array(envelope.length);
  let at = 0;
  const put = (opened: Uint8Array) => {
    plaintext.set(opened, at);
    at += opened.length;
    opened.fill(0);
  };
  try {
    let count = 0;
    for (const piece of pieces(envelope)) {
      if (count++ % PIECES_PER_TASK === PIECES_PER_TASK - 1) await nextTask();
      put(call(() => stream.object.push(piece)));
    }
    const { plaintext: last, ...finished } = call(() => finishedOf(stream.object));
    put(last);
    return new OpenedPayload(plaintext.slice(0, at), finished);
  } finally {
    plaintext.fill(0);
    stream.free();
  }
}

/** Lets other tasks run, without the 4 ms that a nested `setTimeout` costs. */
function nextTask(): Promise<void> {
  const { scheduler } = globalThis as { scheduler?: { yield?(): Promise<void> } };
  if (scheduler?.yield !== undefined) return scheduler.yield();
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
