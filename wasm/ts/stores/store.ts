import { SealwireError, misuse } from "../error.js";

/**
 * A place for secrets by name: memory, this browser's storage, or your own.
 *
 * Names have 1 to 64 characters of `a-z 0-9 . _ -` and do not begin with `.`; others are `Misuse`. A secret has at most 1 MiB, with what
 * the store adds to it (`TooLarge`). A store replaces atomically: after a crash a name holds the old secret or the new one. It reports
 * its failures as `Store`, and one that seals what it keeps says why something does not open (`Rejected`, `Malformed`, `Unsupported`).
 * What it takes it copies; what it gives is a copy of your own, to be wiped with `fill(0)` when it was used. Source: SPEC §13.
 */
export interface SecretStore {
  /** The secret under `name`, or `undefined` if there is none. */
  load(name: string): Promise<Uint8Array | undefined>;
  /** Keeps `secret` under `name`, in place of what was there. */
  save(name: string, secret: Uint8Array): Promise<void>;
  /** Removes the secret under `name`, if there is one. */
  remove(name: string): Promise<void>;
  /** The names of all that is kept, sorted. */
  names(): Promise<string[]>;
  /**
   * Replaces what is under `name` by what `change` makes of it (`undefined`: nothing is there), and lets nobody write between, in no tab.
   * `change` may run more than once, and must not wait for anything. What it throws comes out, and nothing was changed.
   */
  update(name: string, change: (old: Uint8Array | undefined) => Uint8Array | undefined): Promise<void>;
}

/** A {@link SecretStore} in memory, for tests and for keys that end with the page. */
export class MemoryStore implements SecretStore {
  readonly #secrets = new Map<string, Uint8Array>();

  async load(name: string): Promise<Uint8Array | undefined> {
    checkName(name);
    return copied(this.#secrets.get(name));
  }

  async save(name: string, secret: Uint8Array): Promise<void> {
    checkName(name);
    checkSize(secret);
    this.#put(name, secret);
  }

  async remove(name: string): Promise<void> {
    checkName(name);
    this.#put(name, undefined);
  }

  async names(): Promise<string[]> {
    return [...this.#secrets.keys()].sort();
  }

  async update(name: string, change: (old: Uint8Array | undefined) => Uint8Array | undefined): Promise<void> {
    checkName(name);
    const secret = change(copied(this.#secrets.get(name)));
    if (secret !== undefined) checkSize(secret);
    this.#put(name, secret);
  }

  #put(name: string, secret: Uint8Array | undefined): void {
    const copy = copied(secret);
    this.#secrets.get(name)?.fill(0);
    if (copy === undefined) this.#secrets.delete(name);
    else this.#secrets.set(name, copy);
  }
}

/** Not by `slice`, which in a Buffer of Node shares the memory. */
function copied(secret: Uint8Array | undefined): Uint8Array | undefined {
  return secret && new Uint8Array(secret);
}

const MAX_STORED = 1024 * 1024;

/** Refuses names that another store could read differently. */
export function checkName(name: string): void {
  if (typeof name !== "string" || !/^[a-z0-9_-][a-z0-9._-]{0,63}$/.test(name)) {
    throw misuse("a stored secret's name is 1 to 64 of a-z 0-9 . _ -");
  }
}

/** Refuses what is no bytes or too many of them; `added` is what a store puts around them. */
export function checkSize(secret: Uint8Array, added = 0): void {
  if (!(secret instanceof Uint8Array)) throw misuse("a secret is a Uint8Array");
  if (secret.length + added > MAX_STORED) throw new SealwireError("TooLarge", "too large: a stored secret has at most 1 MiB");
}

export function storeFailed(what: string, cause?: unknown): SealwireError {
  return new SealwireError("Store", `storage failed: ${what}`, cause === undefined ? undefined : { cause });
}
