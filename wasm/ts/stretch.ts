// Argon2 takes 64 MiB, which a WASM memory never gives back: it runs in a worker with an instance of its own, which ends afterwards.

import { type Key, Keyring, Passphrase, StretchingKeyring, type Unlock, rawPassphrase } from "./keys.js";
import { type ErrorCode, SealwireError } from "./error.js";
import { Held, call, compiled, glue, load } from "./module.js";
import { type Reader, type Recipients, listOf } from "./seal.js";

/** What a worker is asked: the compiled module, and the arguments of its `stretch`. */
export interface StretchJob {
  readonly module: WebAssembly.Module;
  readonly arguments: Parameters<typeof glue.stretch>;
}

/** What a worker answers: 60 bytes, or why not. */
export type StretchAnswer = Uint8Array | [ErrorCode, string];

/** How an entry file has a job done in a worker. It rejects where there is none. */
export type Elsewhere = (job: StretchJob) => Promise<StretchAnswer>;

let elsewhere: Elsewhere | undefined;

/** Called by the entry files that have workers; the first one wins. */
export function stretchIn(entry: Elsewhere): void {
  elsewhere ??= entry;
}

/** A passphrase among recipients on which Argon2 has run. */
export class StretchedReader {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/** Runs `operation` with recipients whose passphrases were stretched elsewhere; without workers, with those that were given. */
export async function stretching<T>(recipients: Recipients, operation: (recipients: Recipients) => Promise<T>): Promise<T> {
  // As it is now: what an app changes later is of its next call.
  const list = [...listOf(recipients)];
  const passphrases = list.filter((reader) => reader instanceof Passphrase).length;
  // More than two are refused; not after so much work.
  if (elsewhere === undefined || passphrases === 0 || passphrases > 2) return operation(list);
  const readers: (Reader | StretchedReader)[] = [];
  try {
    for (const reader of list) {
      const stretched = reader instanceof Passphrase && (await stretch(await wantedOf(reader)));
      readers.push(stretched ? new StretchedReader(stretched) : reader);
    }
    return await operation(readers as Reader[]);
  } finally {
    for (const reader of readers) if (reader instanceof StretchedReader) reader.bytes.fill(0);
  }
}

/**
 * Runs `operation` with keys whose passphrases are stretched elsewhere: when nothing opened and a passphrase was not tried, it is stretched
 * and all is tried again. The module counts the runs. Without workers, with the keys that were given.
 */
export async function unlocking<T>(keys: Unlock, operation: (keys: Unlock) => Promise<T>): Promise<T> {
  const list: readonly Key[] = keys instanceof Keyring ? keys.keys : [keys];
  if (elsewhere === undefined || !list.some((key) => key instanceof Passphrase)) return operation(keys);
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
        const stretched = await stretch(wanted as unknown as Parameters<typeof glue.stretch>);
        if (stretched === undefined) return await operation(keys);
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

async function wantedOf(passphrase: Passphrase): Promise<Parameters<typeof glue.stretch>> {
  await load();
  return call(() => rawPassphrase(passphrase).wanted()) as unknown as Parameters<typeof glue.stretch>;
}

/** 60 bytes, or nothing if there is no worker after all: a bundler that left its file out, a policy, a runtime without them. */
async function stretch(wanted: Parameters<typeof glue.stretch>): Promise<Uint8Array | undefined> {
  const module = await compiled();
  let answer: StretchAnswer;
  try {
    answer = await (elsewhere as Elsewhere)({ module, arguments: wanted });
  } catch {
    return undefined;
  } finally {
    wanted[0].fill(0);
  }
  if (answer instanceof Uint8Array) return answer;
  throw new SealwireError(...answer);
}
