import { bytes } from "./context.js";
import { SealwireError } from "./error.js";
import type * as glue from "./glue/sealwire.js";
import { type Held, call } from "./module.js";

/**
 * Where what was seen is kept: one of this package's key stores, or your own. Names have 1 to 64 characters of `a-z 0-9 . _ -`.
 *
 * Several tabs may share a store. With `update` none of them lowers what another has seen.
 */
export interface LastSeenStore {
  /** What is kept under `name`, if anything. */
  load(name: string): Promise<Uint8Array | undefined>;
  /** Keeps `value` under `name`, in place of what was there. */
  save(name: string, value: Uint8Array): Promise<void>;
  /** Replaces what is there by what `change` makes of it, and lets nobody else write between. */
  update?(name: string, change: (old: Uint8Array | undefined) => Uint8Array): Promise<void>;
}

/**
 * What the core remembers, in a store that is asynchronous. The core works on a mirror in its own memory, so it may decide by what is
 * old: the store has the last word, before anything that was decided is used.
 */
export class LastSeen {
  readonly #store: LastSeenStore | undefined;
  readonly #calls: Held<glue.Calls>;
  /** Name and value, in turn. */
  #touched: (string | Uint8Array | undefined)[] = [];

  constructor(store: LastSeenStore | undefined, calls: Held<glue.Calls>) {
    this.#store = store;
    this.#calls = calls;
  }

  /** Reads into the mirror what decides whose keys are believed. */
  async loadServices(): Promise<void> {
    const store = this.#store;
    if (store === undefined) return;
    for (const name of call(() => this.#calls.object.serviceNames())) {
      const value = kept(name, await asked(() => store.load(name)));
      if (value !== undefined) call(() => this.#calls.object.put(name, value));
    }
  }

  /** Runs one step, and notes what it asked the mirror for. */
  watch<T>(step: () => T): T {
    return call(() => {
      try {
        return step();
      } finally {
        if (this.#calls.isAlive && this.#store !== undefined) this.#touched.push(...this.#calls.object.touched());
      }
    });
  }

  /**
   * Asks the store: `Rejected` if it has seen a higher number of what was touched; else it has seen this one now. The versions of a resource
   * stand under a name for each of its writers: the core has looked at all of them, and the highest is the one that it has just taken.
   */
  async remember(): Promise<void> {
    const touched = this.#touched.splice(0);
    if (touched.length === 0) return;
    const services = call(() => this.#calls.object.serviceNames());
    const entries: [string, Uint8Array][] = [];
    for (let at = 0; at < touched.length; at += 2) entries.push([touched[at] as string, (touched[at + 1] ?? NONE) as Uint8Array]);
    let taken = NONE;
    for (const [name, value] of entries) if (!services.includes(name) && isLater(name, value, taken)) taken = value;
    for (const [name, value] of entries) await this.#advance(name, value, services.includes(name) ? value : taken);
  }

  /** `value` is what the mirror has under this name, `taken` what the store's may not exceed. */
  async #advance(name: string, value: Uint8Array, taken: Uint8Array): Promise<void> {
    const store = this.#store as LastSeenStore;
    const later = (old: Uint8Array | undefined): Uint8Array | undefined =>
      old !== undefined && isLater(name, old, value) ? old : undefined;
    let old = kept(name, await asked(() => store.load(name)));
    if (later(old) === undefined && value.length > 0 && !isSame(old, value)) {
      const change = (found: Uint8Array | undefined) => later((old = kept(name, found))) ?? value;
      await asked(() => (store.update ? store.update(name, change) : store.save(name, value)));
    }
    const found = later(old);
    if (found === undefined) return;
    call(() => this.#calls.object.put(name, found));
    if (name.startsWith("seen.") && isLater(name, found, taken)) {
      // What the step believed, it must not go on believing.
      call(() => this.#calls.object.forgetServiceKeys());
      throw new SealwireError("Rejected", "rejected: the store has seen a later one");
    }
  }
}

const NONE: Uint8Array = new Uint8Array();

/** What a store has under a name, if anything. Of a number that is none nobody could say that it is not later: it counts as altered, not as none. */
function kept(name: string, value: Uint8Array | null | undefined): Uint8Array | undefined {
  if (value === undefined || value === null) return undefined;
  if (!(value instanceof Uint8Array) || (name.startsWith("seen.") && value.length !== 8)) {
    throw new SealwireError("Malformed", "malformed: what was seen");
  }
  return bytes(value);
}

/**
 * Both kinds of values are ordered as their bytes are: `seen.…` is a number of 8 bytes; `pins.…` is a deterministic CBOR array, of which
 * the first byte says how many pins there are, and serial and date of their document follow.
 */
function isLater(name: string, old: Uint8Array, value: Uint8Array): boolean {
  const from = name.startsWith("pins.") ? 1 : 0;
  for (let at = from; at < old.length; at++) {
    const difference = (old[at] as number) - (value[at] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return false;
}

function isSame(old: Uint8Array | undefined, value: Uint8Array): boolean {
  return old !== undefined && old.length === value.length && old.every((byte, at) => byte === value[at]);
}

async function asked<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    if (cause instanceof SealwireError) throw cause;
    throw new SealwireError("Store", "store failed: what was seen", { cause });
  }
}
