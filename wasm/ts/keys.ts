/// <reference lib="esnext.disposable" preserve="true" />
import { misuse } from "./error.js";
import * as glue from "./glue/sealwire.js";
import { Held, call, run } from "./module.js";
import { bytes as bytesOf, chosen, textual, wellFormed } from "./context.js";
import type { SecretStore } from "./stores/store.js";
import { type Kem, type Recipient, type Signer, makeRecipient } from "./recipient.js";

// For the other files of this package; `index.ts` does not export them.
export let rawIdentity: (identity: Identity) => glue.Identity;
export let rawPassphrase: (passphrase: Passphrase) => glue.Passphrase;
export let rawKey: (key: SymmetricKey) => glue.SymmetricKey;
export let makeContentKey: (raw: glue.ContentKey) => ContentKey;
let rawContentKey: (key: ContentKey) => glue.ContentKey;

/**
 * The private keys of a person, a device or a service: one KEM key pair and one signing key pair.
 *
 * They live in the module's memory: nothing that prints, serialises or clones an identity shows them. `free()`, or leaving a `using`
 * block, wipes them; a forgotten identity is wiped when it is collected. The public half, to be given to everybody, is
 * {@link Identity.recipient}. Source: SPEC §10.
 *
 * ```ts
 * const alice = await Identity.generate();
 * console.log(`send me things: ${alice.recipient}`);
 * ```
 */
export class Identity {
  readonly #held: Held<glue.Identity>;
  #recipient: Recipient | undefined;

  private constructor(raw: glue.Identity) {
    this.#held = new Held(raw);
  }

  /**
   * A new identity, with an X-Wing (post-quantum) KEM key pair unless `kem` says otherwise. X25519 has recipients of 223 characters
   * instead of 2118, and is **not** post-quantum. Rejects with `Unsupported` if the system gives no randomness.
   */
  static generate(options: { kem?: Kem } = {}): Promise<Identity> {
    return run(() => new Identity(glue.Identity.generate(textual(chosen(options, "kem").kem ?? "XWing"))));
  }

  /**
   * Reads the secret text form, `sealwire-identity1…`. Rejects with `InvalidKey` if a character is wrong or the length, and with
   * `Unsupported` for another KEM. JavaScript cannot wipe a string: where it matters, keep identities in a key store.
   */
  static parse(text: string): Promise<Identity> {
    return run(() => new Identity(glue.Identity.parse(textual(text))));
  }

  /**
   * Reads an identity file: one text form per line; empty lines and lines with `#` in front are skipped. Rejects with `TooLarge` above
   * 64 KiB or 64 identities, with `Malformed` if there is none, and as {@link Identity.parse} does.
   */
  static parseFile(text: string): Promise<Identity[]> {
    return run(() => glue.Identity.parseFile(textual(text)).map((raw) => new Identity(raw)));
  }

  /** The public half, to be given to everybody. */
  get recipient(): Recipient {
    const raw = this.#held.object;
    return (this.#recipient ??= makeRecipient(call(() => raw.recipient())));
  }

  /** The public signing key: what readers list in `expect`. */
  get signer(): Signer {
    return this.recipient.signer;
  }

  /** The secret text form, `sealwire-identity1…`, as 130 bytes of ASCII: keep it secret, and `fill(0)` it when it was used. */
  reveal(): Uint8Array {
    return call(() => this.#held.object.reveal());
  }

  /** Keeps this identity in `store` under `name`; rejects as `store.save` does. */
  async save(store: SecretStore, name: string): Promise<void> {
    const text = this.reveal();
    try {
      await store.save(name, text);
    } finally {
      text.fill(0);
    }
  }

  /**
   * The identity that was saved in `store` under `name`, or `undefined` if there is none. Rejects as `store.load` does, and with
   * `InvalidKey` or `Unsupported` if something else is there.
   */
  static async load(store: SecretStore, name: string): Promise<Identity | undefined> {
    const text = await store.load(name);
    if (text === undefined) return undefined;
    try {
      return await run(() => new Identity(glue.Identity.fromStored(text)));
    } finally {
      text.fill(0);
    }
  }

  /** Wipes the keys. Every later use is `Misuse`. */
  free(): void {
    this.#held.free();
  }

  /** The same as {@link Identity.free}, for `using`. */
  [Symbol.dispose](): void {
    this.free();
  }

  static {
    rawIdentity = (identity) => {
      if (!(identity instanceof Identity)) throw misuse("an Identity of this copy of the package is wanted");
      return identity.#held.object;
    };
  }
}

/**
 * A passphrase: 1 to 1024 bytes of UTF-8, taken as they are, without Unicode normalisation. Sealing uses Argon2id with 64 MiB, 3 passes
 * and 4 lanes (RFC 9106 §4, second recommendation). It runs in a worker that ends afterwards, so that its memory comes back; where there
 * is none (a service worker, an edge runtime, the entry with the module inside, a policy without `worker-src 'self'`) in the calling
 * thread, which does nothing else meanwhile. Source: SPEC §4.
 */
export class Passphrase {
  readonly #held: Held<glue.Passphrase>;

  private constructor(raw: glue.Passphrase) {
    this.#held = new Held(raw);
  }

  /**
   * Takes a passphrase. `costs` are other Argon2id costs to *seal* with; less than the default makes guessing cheaper for a thief of
   * the envelope. Rejects with `Misuse` for a length outside the limits, `TooLarge` for costs above one and `Malformed` for costs below.
   */
  static create(text: string, costs?: Argon2Costs): Promise<Passphrase> {
    return run(() => {
      if (costs === undefined) return new Passphrase(new glue.Passphrase(wellFormed(text)));
      const { memory, passes, lanes } = costs;
      if (![memory, passes, lanes].every((cost) => cost >>> 0 === cost)) throw misuse("costs are three whole numbers");
      return new Passphrase(new glue.Passphrase(wellFormed(text), memory, passes, lanes));
    });
  }

  /** Wipes it. Every later use is `Misuse`. */
  free(): void {
    this.#held.free();
  }

  /** The same as {@link Passphrase.free}, for `using`. */
  [Symbol.dispose](): void {
    this.free();
  }

  static {
    rawPassphrase = (passphrase) => passphrase.#held.object;
  }
}

/** Argon2id costs: `memory` in KiB (8 × lanes to 262144), `passes` (1 to 10), `lanes` (1 to 8). */
export interface Argon2Costs {
  readonly memory: number;
  readonly passes: number;
  readonly lanes: number;
}

/** A 32-byte key that both sides hold: a backup key, a group's epoch. Post-quantum by nature. Source: SPEC §4. */
export class SymmetricKey {
  readonly #held: Held<glue.SymmetricKey>;

  private constructor(raw: glue.SymmetricKey) {
    this.#held = new Held(raw);
  }

  /** A new random key. Rejects with `Unsupported` if the system gives no randomness. */
  static generate(): Promise<SymmetricKey> {
    return run(() => new SymmetricKey(glue.SymmetricKey.generate()));
  }

  /** Takes 32 uniformly random bytes; wipe your own copy. A password is not a key: see {@link Passphrase}. `InvalidKey` for another length. */
  static fromBytes(bytes: Uint8Array): Promise<SymmetricKey> {
    return run(() => new SymmetricKey(glue.SymmetricKey.fromBytes(bytesOf(bytes))));
  }

  /** The opaque id (8 bytes) that stands in the slots under this key. It says nothing of the key, and is the same in each. */
  get id(): Uint8Array {
    return call(() => this.#held.object.id());
  }

  /** The key's 32 bytes: keep them secret, and `fill(0)` them when they were used. */
  reveal(): Uint8Array {
    return call(() => this.#held.object.reveal());
  }

  /** Wipes the key. Every later use is `Misuse`. */
  free(): void {
    this.#held.free();
  }

  /** The same as {@link SymmetricKey.free}, for `using`. */
  [Symbol.dispose](): void {
    this.free();
  }

  static {
    rawKey = (key) => key.#held.object;
  }
}

/**
 * The key of one envelope, verified against that envelope, and of no other: {@link Header.unlock} and {@link Header.contentKey} give it. It opens
 * the envelope wherever keys are asked for, also after a rewrap. Source: SPEC §3, §5.
 */
export class ContentKey {
  readonly #held: Held<glue.ContentKey>;

  private constructor(raw: glue.ContentKey) {
    this.#held = new Held(raw);
  }

  /** Wipes the key. Every later use is `Misuse`. */
  free(): void {
    this.#held.free();
  }

  /** The same as {@link ContentKey.free}, for `using`. */
  [Symbol.dispose](): void {
    this.free();
  }

  static {
    makeContentKey = (raw) => new ContentKey(raw);
    rawContentKey = (key) => key.#held.object;
  }
}

/**
 * Several keys at once: an identity and the ones it replaced, or an identity and a recovery passphrase.
 *
 * Each slot is tried with every key, in their order, until one opens it. The limits of an open hold for all keys together: 128 KEM
 * operations and 4 runs of Argon2, so that of several passphrases the likely ones belong in front. A key beyond its limit is left out;
 * if no other opens, the answer is `TooLarge`. It refers to the keys and does not own them: freeing them is up to you. Source: SPEC §11.
 *
 * ```ts
 * const keys = new Keyring(newIdentity, oldIdentity);
 * const { plaintext } = await open(envelope, keys, context);
 * ```
 */
export class Keyring {
  /** The keys, in the order in which they are tried. */
  readonly keys: readonly Key[];

  constructor(...keys: Key[]) {
    this.keys = [...keys];
  }
}

/** Keys whose passphrases are stretched elsewhere; `index.ts` does not export it. */
export class StretchingKeyring extends Keyring {
  readonly stretches: Held<glue.Stretches>;

  constructor(keys: readonly Key[], stretches: Held<glue.Stretches>) {
    super(...keys);
    this.stretches = stretches;
  }
}

/** One key in memory. */
export type Key = Identity | Passphrase | SymmetricKey | ContentKey;

/** Keys that may open an envelope. */
export type Unlock = Key | Keyring;

/** The keys inside the module, as one. `stretchNow` is for passphrases of which nobody waits to be told that they are wanted. */
export function rawKeyring(keys: Unlock, stretchNow?: (wanted: never) => Uint8Array): glue.Keyring {
  const raw = new glue.Keyring();
  for (const key of keys instanceof Keyring ? keys.keys : [keys]) {
    if (key instanceof Identity) raw.identity(rawIdentity(key));
    else if (key instanceof Passphrase && keys instanceof StretchingKeyring) raw.stretched(rawPassphrase(key), keys.stretches.object);
    else if (key instanceof Passphrase) raw.passphrase(rawPassphrase(key), stretchNow as (wanted: never) => Uint8Array);
    else if (key instanceof SymmetricKey) raw.key(rawKey(key));
    else if (key instanceof ContentKey) raw.contentKey(rawContentKey(key));
    else throw misuse("keys are an Identity, a Passphrase, a SymmetricKey, a ContentKey or a Keyring of several, of this copy of the package");
  }
  return raw;
}
