// Argon2 takes 64 MiB, which a WASM memory never gives back: it is a module of its own, of which each run has an instance, in a worker where there are any.

import { run } from "./argon_run.js";
import type { stretch as stretchNow } from "./glue/argon.js";
import { type Key, Keyring, Passphrase, StretchingKeyring, type Unlock, rawPassphrase } from "./keys.js";
import { type ErrorCode, SealwireError } from "./error.js";
import * as glue from "./glue/sealwire.js";
import { Held, type Source, call, load, unloadable } from "./module.js";
import { type Reader, type Recipients, listOf } from "./seal.js";

/** What stretches in this thread, at once. */
export type StretchNow = (wanted: Arguments) => Uint8Array;

type Arguments = Parameters<typeof stretchNow>;

/** What a worker is asked: the compiled module, and the arguments of its `stretch`. */
export interface StretchJob {
  readonly module: WebAssembly.Module;
  readonly arguments: Arguments;
}

/** What a worker answers: 60 bytes, or why not. */
export type StretchAnswer = Uint8Array | [ErrorCode, string];

/** How an entry file has a job done in a worker. It rejects where there is none. */
export type Elsewhere = (job: StretchJob) => Promise<StretchAnswer>;

let source: Source | undefined;
let elsewhere: Elsewhere | undefined;

/** Called by each entry file: where Argon2's module is, and a worker if there are any. The first one wins. */
export function stretchWith(module: Source, worker?: Elsewhere): void {
  if (source === undefined) elsewhere = worker;
  source ??= module;
}

/** For where nobody can wait. Nothing, unless there is a passphrase. */
export async function stretchingNow(keys: Unlock | undefined): Promise<StretchNow | undefined> {
  if (keys === undefined || !keysOf(keys).some((key) => key instanceof Passphrase)) return undefined;
  const module = await compiled();
  return (wanted) => bytesOf(run({ module, arguments: wanted }));
}

async function compiled(): Promise<WebAssembly.Module> {
  try {
    return await (source as Source)();
  } catch (cause) {
    throw unloadable(cause);
  }
}

function keysOf(keys: Unlock): readonly Key[] {
  return keys instanceof Keyring ? keys.keys : [keys];
}

function bytesOf(answer: StretchAnswer): Uint8Array {
  if (answer instanceof Uint8Array) return answer;
  throw new SealwireError(...answer);
}

/** A passphrase among recipients on which Argon2 has run. */
export class StretchedReader {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/** Runs `operation` with recipients whose passphrases were stretched. */
export async function stretching<T>(recipients: Recipients, operation: (recipients: Recipients) => Promise<T>): Promise<T> {
  // As it is now: what an app changes later is of its next call.
  const list = [...listOf(recipients)];
  const passphrases = list.filter((reader) => reader instanceof Passphrase).length;
  if (passphrases === 0) return operation(list);
  // The module refuses them, too, after so much work.
  if (passphrases > 2) throw new SealwireError("TooLarge", "too large: an envelope has at most 2 passphrase slots");
  const readers: (Reader | StretchedReader)[] = [];
  try {
    for (const reader of list) {
      readers.push(reader instanceof Passphrase ? new StretchedReader(await stretch(await wantedOf(reader))) : reader);
    }
    return await operation(readers as Reader[]);
  } finally {
    for (const reader of readers) if (reader instanceof StretchedReader) reader.bytes.fill(0);
  }
}

/**
 * Runs `operation` with keys whose passphrases are stretched elsewhere: when nothing opened and a passphrase was not tried, it is stretched
 * and all is tried again. The module counts the runs.
 */
export async function unlocking<T>(keys: Unlock, operation: (keys: Unlock) => Promise<T>): Promise<T> {
  const list = keysOf(keys);
  if (!list.some((key) => key instanceof Passphrase)) return operation(keys);
  await load();
  const stretches = new Held(call(() => new glue.Stretches()));
  try {
    for (;;) {
      try {
        return await operation(new StretchingKeyring(list, stretches));
      } catch (error) {
        const isUnopened = error instanceof SealwireError && (error.code === "NotRecipient" || error.code === "TooLarge");
        const wanted = isUnopened ? call(() => stretches.object.wanted()) : undefined;
        if (wanted === undefined) throw error;
        const stretched = await stretch(wanted as unknown as Arguments);
        try {
          call(() => stretches.object.put(stretched));
        } finally {
          stretched.fill(0);
        }
      }
    }
  } finally {
    stretches.free();
  }
}

async function wantedOf(passphrase: Passphrase): Promise<Arguments> {
  await load();
  return call(() => rawPassphrase(passphrase).wanted()) as unknown as Arguments;
}

/** 60 bytes. Where there is no worker after all (a bundler that left its file out, a policy, a runtime without them), this thread makes them. */
async function stretch(wanted: Arguments): Promise<Uint8Array> {
  try {
    const job = { module: await compiled(), arguments: wanted };
    let answer: StretchAnswer;
    try {
      answer = elsewhere === undefined ? run(job) : await elsewhere(job).catch(() => run(job));
    } catch (cause) {
      throw new SealwireError("internal", "internal: the module of Argon2 failed", { cause });
    }
    return bytesOf(answer);
  } finally {
    wanted[0].fill(0);
  }
}
