import { chosen, flag } from "../context.js";
import { Database, answer, keyGone } from "./database.js";
import { SealedStore, Sealing } from "./sealed.js";
import { checkName, storeFailed } from "./store.js";

/** Which store to open. */
export interface IndexedDbStoreOptions {
  /** The store's name, by the rules for the name of a secret. The database is `sealwire.` and this name. */
  readonly name: string;
  /**
   * `true` if you know that this device has used the store before, such as from the user's account: then `Store` if it is not there, instead
   * of a new one. Without it a database that was deleted as a whole looks like a first visit: there is nothing left that could tell.
   */
  readonly existing?: boolean | undefined;
}

/**
 * A {@link SecretStore} in this browser's IndexedDB, for pages and workers. Each secret is encrypted (AES-256-GCM) under a WebCrypto key
 * that is kept beside it and **cannot be exported**, and bound to its name and the store's: records that were swapped are `Rejected`.
 *
 * **What it protects against:** somebody who gets at the bytes of the records, such as a backup or a tool that dumps databases, does not
 * find a secret as text. How well the browser itself guards the key on the disk differs, and most leave that to the disk's encryption.
 * **What it does not:** a script on your page, an extension with access to it and malware can use the key as your code does, and
 * {@link SecretStore.load} gives them the secret; nor time, as an earlier record opens too; nor eviction: see `storageHealth`, and keep a
 * recovery passphrase or key, because what is evicted is gone.
 *
 * Any number of tabs may use it at once: each change is one transaction, written through to the disk before it resolves. If another script
 * deletes the database, or the wrapping key in it, every use is `Store` from then on, and no new key takes the place of the old one
 * while there are records. Private windows without storage and a full quota are `Store`, too. Source: SPEC §13.
 *
 * ```ts
 * const store = await IndexedDbStore.open({ name: "keys" });
 * const alice = (await Identity.load(store, "alice")) ?? (await Identity.generate());
 * await alice.save(store, "alice");
 * ```
 */
export class IndexedDbStore extends SealedStore {
  /** Opens the store, and makes it and its key on the first use. Rejects with `Misuse` for a bad name, `Unsupported` for a newer format. */
  static async open(options: IndexedDbStoreOptions): Promise<IndexedDbStore> {
    const { name, existing } = chosen(options, "name", "existing");
    checkName(name);
    const mustExist = flag(existing);
    const database = await Database.open(`sealwire.${name}`);
    try {
      const { key, id } = (await find(database)) ?? (mustExist ? gone() : await make(database));
      return new IndexedDbStore(database, new Sealing(key, name), id);
    } catch (error) {
      database.close();
      throw error;
    }
  }
}

interface Wrapping {
  readonly key: CryptoKey;
  readonly id: Uint8Array;
}

async function find(database: Database): Promise<Wrapping | undefined> {
  return database.transact("readonly", async ({ keys, records }) => {
    const [key, id, count] = await Promise.all([answer(keys.get("wrapping")), answer(keys.get("id")), answer(records.count())]);
    if (isKey(key) && id instanceof Uint8Array) return { key, id };
    return count > 0 || key !== undefined || id !== undefined ? gone() : undefined;
  });
}

/** Of tabs that do so at once the first one wins. */
async function make(database: Database): Promise<Wrapping> {
  const id = crypto.getRandomValues(new Uint8Array(16));
  const key = await newKey();
  await database.transact("readwrite", async ({ keys }) => {
    if ((await answer(keys.get("id"))) !== undefined) return;
    await Promise.all([answer(keys.put(key, "wrapping")), answer(keys.put(id, "id"))]);
  });
  return (await find(database)) ?? gone();
}

async function newKey(): Promise<CryptoKey> {
  try {
    return await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
  } catch (cause) {
    throw storeFailed("there is no WebCrypto here: a page has it over HTTPS only", cause);
  }
}

/** One that a script has put there to be read later is not ours. */
function isKey(key: unknown): key is CryptoKey {
  return key instanceof CryptoKey && !key.extractable && key.algorithm.name === "AES-GCM";
}

function gone(): never {
  throw keyGone();
}
