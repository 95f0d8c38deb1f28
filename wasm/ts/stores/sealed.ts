import { SealwireError } from "../error.js";
import { type Database, type Tables, answer, keyGone } from "./database.js";
import { type SecretStore, checkName, checkSize } from "./store.js";

const VERSION = 1;
const NONCE_LEN = 12;
const TAG_LEN = 16;
const ADDED = 1 + NONCE_LEN + TAG_LEN;

/** A store of records under one AES-256-GCM key of WebCrypto, whatever that key comes from. */
export abstract class SealedStore implements SecretStore {
  readonly #database: Database;
  readonly #sealing: Sealing;
  readonly #id: Uint8Array;
  /** Changes of one tab wait for each other: they happen in their order, and undo nobody's work. */
  #turn: Promise<unknown> = Promise.resolve();

  protected constructor(database: Database, sealing: Sealing, id: Uint8Array) {
    this.#database = database;
    this.#sealing = sealing;
    this.#id = id;
  }

  async load(name: string): Promise<Uint8Array | undefined> {
    checkName(name);
    return this.#opened(name, await this.#transact("readonly", ({ records }) => answer(records.get(name))));
  }

  async save(name: string, secret: Uint8Array): Promise<void> {
    checkName(name);
    // At once: what the app does with it later is not kept.
    const sealing = this.#sealing.seal(name, secret);
    sealing.catch(() => undefined);
    await this.#inTurn(async () => {
      const record = await sealing;
      await this.#transact("readwrite", ({ records }) => answer(records.put(record, name)));
    });
  }

  async remove(name: string): Promise<void> {
    checkName(name);
    await this.#inTurn(() => this.#transact("readwrite", ({ records }) => answer(records.delete(name))));
  }

  async names(): Promise<string[]> {
    const names = await this.#transact("readonly", ({ records }) => answer(records.getAllKeys()));
    return names.map(String).sort();
  }

  async update(name: string, change: (old: Uint8Array | undefined) => Uint8Array | undefined): Promise<void> {
    checkName(name);
    await this.#inTurn(() => this.#update(name, change));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  /** A transaction does not wait for WebCrypto, so this writes only if what was read is still there, and else begins again. */
  async #update(name: string, change: (old: Uint8Array | undefined) => Uint8Array | undefined): Promise<void> {
    for (;;) {
      const before: unknown = await this.#transact("readonly", ({ records }) => answer(records.get(name)));
      const secret = change(await this.#opened(name, before));
      const after = secret === undefined ? undefined : await this.#sealing.seal(name, secret);
      const written = await this.#transact("readwrite", async ({ records }) => {
        if (!isSame(before, await answer(records.get(name)))) return false;
        await (after === undefined ? answer(records.delete(name)) : answer(records.put(after, name)));
        return true;
      });
      if (written) return;
    }
  }

  /** Lets go of the database and the key. Every later use is `Store`. */
  close(): void {
    this.#database.close();
  }

  /** The same as `close`, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  async #opened(name: string, record: unknown): Promise<Uint8Array | undefined> {
    return record === undefined ? undefined : this.#sealing.open(name, record);
  }

  /** Under a key that is not this one any more nothing may be written: nobody could read it. */
  #transact<T>(mode: IDBTransactionMode, work: (tables: Tables) => Promise<T>): Promise<T> {
    return this.#database.transact(mode, async (tables) => {
      const id: unknown = await answer(tables.keys.get("id"));
      if (!isSame(id, this.#id)) throw keyGone();
      return work(tables);
    });
  }
}

/** Seals the records of one store (SPEC §13). */
export class Sealing {
  readonly #key: CryptoKey;
  readonly #store: string;

  constructor(key: CryptoKey, store: string) {
    this.#key = key;
    this.#store = store;
  }

  async seal(name: string, secret: Uint8Array): Promise<Uint8Array> {
    checkSize(secret, ADDED);
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_LEN));
    const sealed = await crypto.subtle.encrypt(this.#algorithm(name, nonce), this.#key, secret as BufferSource);
    const record = new Uint8Array(1 + NONCE_LEN + sealed.byteLength);
    record[0] = VERSION;
    record.set(nonce, 1);
    record.set(new Uint8Array(sealed), 1 + NONCE_LEN);
    return record;
  }

  async open(name: string, record: unknown): Promise<Uint8Array> {
    if (!(record instanceof Uint8Array) || record.length < ADDED) {
      throw new SealwireError("Malformed", "malformed: what is stored is no record of this package");
    }
    if (record[0] !== VERSION) {
      throw new SealwireError("Unsupported", "not supported by this version: a stored record of another version");
    }
    const nonce = record.slice(1, 1 + NONCE_LEN);
    const sealed = record.slice(1 + NONCE_LEN);
    try {
      return new Uint8Array(await crypto.subtle.decrypt(this.#algorithm(name, nonce), this.#key, sealed));
    } catch {
      throw new SealwireError("Rejected", "rejected: the stored secret was altered, or belongs to another name or store");
    }
  }

  #algorithm(name: string, iv: Uint8Array<ArrayBuffer>): AesGcmParams {
    const additionalData = new TextEncoder().encode(`sealwire/v1 stored secret\0${this.#store}\0${name}`);
    return { name: "AES-GCM", iv, additionalData, tagLength: 8 * TAG_LEN };
  }
}

function isSame(one: unknown, other: unknown): boolean {
  if (!(one instanceof Uint8Array && other instanceof Uint8Array)) return one === other;
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}
