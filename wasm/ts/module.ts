// The one place that holds the WASM instance: it loads it on the first call, and replaces it after a trap.

import init, { __wbg_reset_state } from "./glue/sealwire.js";
import { type ErrorCode, SealwireError } from "./error.js";

/** Where an entry file finds the module. */
export type Source = () => Promise<WebAssembly.Module> | WebAssembly.Module;

let source: Source | undefined;
let loading: Promise<unknown> | undefined;
/** Counts the instances: an object knows in which one it lives. */
let generation = 0;
/** A trap leaves an instance in which nothing may be called any more. */
let trapped = false;

/** Called once by each entry file; the first one wins. */
export function loadFrom(entry: Source): void {
  source ??= entry;
}

/** Runs `operation` when the module is there. */
export async function run<T>(operation: () => T): Promise<T> {
  await load();
  return call(operation);
}

/** Waits for the module. A failure is not remembered: the next call tries again. */
export async function load(): Promise<void> {
  const mine = (loading ??= start());
  try {
    await mine;
  } catch (cause) {
    // Unless another call tries again already: of two at once the later one would take the module away below the other's keys.
    if (loading === mine) loading = undefined;
    throw unloadable(cause);
  }
}

async function start(): Promise<void> {
  if (source === undefined) throw new Error("no entry file was loaded");
  await init({ module_or_path: await source() });
}

export function unloadable(cause: unknown): SealwireError {
  return new SealwireError("Network", "network failed: the WASM module cannot be loaded; the README's \"Where the module is\" has what bundlers and policies need", { cause });
}

/** Runs `operation` in a module that was loaded before. Every call into the module goes through here. */
export function call<T>(operation: () => T): T {
  try {
    if (trapped) {
      __wbg_reset_state();
      trapped = false;
    }
    return operation();
  } catch (thrown) {
    throw translated(thrown);
  }
}

function translated(thrown: unknown): unknown {
  if (thrown instanceof SealwireError) return thrown;
  if (Array.isArray(thrown)) {
    const [code, message, status] = thrown as [ErrorCode, string, number | undefined];
    return new SealwireError(code, message, { status });
  }
  // JavaScript's own, before anything came into the module: a stranger's JSON has `null` where text is wanted, say.
  if (thrown instanceof TypeError) return new SealwireError("Misuse", "misuse: a value of another type than is wanted", { cause: thrown });
  // Whatever else comes out (a trap, no memory, a stack that overflowed) leaves the instance in a state that nobody knows.
  trapped = true;
  generation += 1;
  return new SealwireError("internal", "internal: the module failed and was replaced; its keys and streams are gone", {
    cause: thrown,
  });
}

/** An object inside the module, which dies with its instance. */
export class Held<T extends { free(): void }> {
  #object: T | undefined;
  readonly #generation = generation;

  constructor(object: T) {
    // `new Identity()`, which only TypeScript forbids.
    if (typeof object !== "object") throw new SealwireError("Misuse", "misuse: keys come from generate, create, parse or load, not from new");
    this.#object = object;
  }

  /** The object, or `stale` if its instance was replaced, or `Misuse` if it was freed. */
  get object(): T {
    if (this.#generation !== generation) {
      throw new SealwireError("stale", "stale: the module was replaced after a failure: load the key again, start the stream again");
    }
    if (this.#object === undefined) throw new SealwireError("Misuse", "misuse: it was freed");
    return this.#object;
  }

  get isAlive(): boolean {
    return this.#object !== undefined && this.#generation === generation;
  }

  /** Wipes it. Doing so twice is no error. */
  free(): void {
    const object = this.#object;
    this.#object = undefined;
    if (object !== undefined && this.#generation === generation) call(() => object.free());
  }
}

/** Objects that live for one call. */
export function scoped<T>(operation: (own: <O extends { free(): void }>(object: O) => O) => T): T {
  const owned: { free(): void }[] = [];
  try {
    return operation((object) => {
      owned.push(object);
      return object;
    });
  } catch (thrown) {
    throw translated(thrown);
  } finally {
    // Not after a trap: their instance is dead.
    if (!trapped) for (const object of owned) object.free();
  }
}
