import { SealwireError } from "../error.js";
import { storeFailed } from "./store.js";

const SCHEMA = 1;
const GONE = "the wrapping key is gone, and with it what it wrapped";

/** The error of a store whose key is not there any more. */
export function keyGone(): SealwireError {
  return storeFailed(GONE);
}

/** What a transaction works on. */
export interface Tables {
  /** `id`, and what a store has to get at its key. */
  readonly keys: IDBObjectStore;
  /** Sealed records by name. */
  readonly records: IDBObjectStore;
}

/** An IndexedDB database with two tables. It ends, and says why, when another tab deletes or upgrades it. */
export class Database {
  readonly #database: IDBDatabase;
  #ended: string | undefined;

  private constructor(database: IDBDatabase) {
    this.#database = database;
    // A connection that stays open blocks whoever wants to delete or upgrade, in every tab.
    database.onversionchange = ({ newVersion }) => {
      this.#end(newVersion === null ? GONE : "another tab runs a newer version of this package: reload this one");
    };
    database.onclose = () => this.#end(GONE);
  }

  static open(name: string): Promise<Database> {
    return new Promise((resolve, reject) => {
      const failed = (error: unknown) => reject(translated(error));
      try {
        const request = indexedDB.open(name, SCHEMA);
        let blocked = false;
        request.onupgradeneeded = ({ oldVersion }) => {
          if (oldVersion < 1) for (const table of ["keys", "records"]) request.result.createObjectStore(table);
        };
        request.onblocked = () => {
          blocked = true;
          reject(storeFailed("another tab holds an older version of the database open: close it"));
        };
        request.onerror = () => failed(request.error);
        request.onsuccess = () => (blocked ? request.result.close() : resolve(new Database(request.result)));
      } catch (error) {
        failed(error);
      }
    });
  }

  /** One transaction, all of it or nothing, which is on the disk when this resolves. `work` may wait for its requests and nothing else. */
  async transact<T>(mode: IDBTransactionMode, work: (tables: Tables) => Promise<T>): Promise<T> {
    if (this.#ended !== undefined) throw storeFailed(this.#ended);
    try {
      const transaction = this.#database.transaction(["keys", "records"], mode, { durability: "strict" });
      const done = new Promise<void>((resolve, reject) => {
        transaction.oncomplete = () => resolve();
        transaction.onabort = () => reject(transaction.error);
      });
      done.catch(() => undefined);
      try {
        const result = await work({ keys: transaction.objectStore("keys"), records: transaction.objectStore("records") });
        await done;
        return result;
      } catch (error) {
        abort(transaction);
        throw error;
      }
    } catch (error) {
      throw this.#ended === undefined ? translated(error) : storeFailed(this.#ended, error);
    }
  }

  close(): void {
    this.#end("the store was closed");
  }

  #end(why: string): void {
    this.#ended ??= why;
    this.#database.close();
  }
}

/** The answer of a request. */
export function answer<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function abort(transaction: IDBTransaction): void {
  try {
    transaction.abort();
  } catch {
    // It has ended by itself.
  }
}

function translated(error: unknown): unknown {
  if (error instanceof SealwireError) return error;
  switch ((error as DOMException | null)?.name) {
    case "QuotaExceededError":
      return storeFailed("the browser's quota is full", error);
    case "VersionError":
      return new SealwireError("Unsupported", "not supported by this version: a store of a newer version", { cause: error });
    case "DataCloneError":
      return storeFailed("this browser does not keep keys here, as some do not in a private window", error);
    case "SecurityError":
    case "InvalidStateError":
    case "ReferenceError":
      return storeFailed("there is no storage here, as in some private windows", error);
    default:
      return storeFailed("IndexedDB", error);
  }
}
