import { inspect } from "../header.js";
import type { Sealed } from "../seal.js";
import { MemoryStore, type SecretStore } from "./store.js";

/** What is to be judged. */
export interface StorageHealthOptions {
  /** The store that the keys are in. */
  readonly store: SecretStore;
  /** The envelope in which you keep the identity elsewhere, such as on your server, if there is one. */
  readonly backup?: Sealed | undefined;
}

/** How long what is stored will last, as far as a page can know. */
export interface StorageHealth {
  /** The browser has promised not to evict this origin by itself. The user can still clear it. */
  readonly persistent: boolean;
  /** Whether `askForPersistence` can have an effect. */
  readonly canPersist: boolean;
  /**
   * When the browser will evict it by itself: `"no"`; `"under-pressure"`, when the disk is full; `"after-7-days"` of the browser's use
   * without a visit of the user (Safari and every browser on iOS; not an app on the home screen); `"with-page"`, as it is in memory only;
   * `"unknown"`, where nothing tells. In a private window all is gone with the window, **and no browser tells a page that it is in one**.
   */
  readonly evictable: "no" | "under-pressure" | "after-7-days" | "with-page" | "unknown";
  /** How many bytes this origin may store, if the browser says: an estimate, with margins against fingerprinting. */
  readonly quota?: number;
  /** How many bytes it stores, if the browser says. */
  readonly usage?: number;
  /**
   * Whether `backup` names a passphrase or a symmetric key among those who can open it; `undefined` without a backup. It is read from the
   * header, without a key: that the user still knows the passphrase only opening it shows.
   */
  readonly recovery: boolean | undefined;
}

/**
 * Says whether what is in `store` will still be there tomorrow, and whether anything opens the data without it. Rejects as `inspect` does
 * if `backup` is no envelope.
 *
 * ```ts
 * const { evictable, recovery } = await storageHealth({ store, backup });
 * if (evictable !== "no" && !recovery) warn("Set a recovery passphrase: this browser may forget your key.");
 * ```
 */
export async function storageHealth({ store, backup }: StorageHealthOptions): Promise<StorageHealth> {
  const recovery = backup === undefined ? undefined : await hasRecovery(backup);
  if (store instanceof MemoryStore) return { persistent: false, canPersist: false, evictable: "with-page", recovery };
  const storage = globalThis.navigator?.storage as StorageManager | undefined;
  if (storage === undefined) return { persistent: false, canPersist: false, evictable: "unknown", recovery };
  const persistent = await storage.persisted().catch(() => false);
  const { quota, usage } = await storage.estimate().catch((): StorageEstimate => ({}));
  return {
    persistent,
    canPersist: persistent || (typeof storage.persist === "function" && !(await isDenied())),
    evictable: isCappedAt7Days() ? "after-7-days" : persistent ? "no" : "under-pressure",
    ...(quota === undefined ? {} : { quota }),
    ...(usage === undefined ? {} : { usage }),
    recovery,
  };
}

/**
 * Asks the browser to keep this origin's storage until the user clears it; `true` if it does. Firefox asks the user; Chrome and Safari decide
 * by themselves, by how much the site is used. Only a page can ask, not a worker; ask when the user has just made a key.
 */
export async function askForPersistence(): Promise<boolean> {
  const storage = globalThis.navigator?.storage as StorageManager | undefined;
  if (typeof storage?.persist !== "function") return false;
  return storage.persist().catch(() => false);
}

async function hasRecovery(backup: Sealed): Promise<boolean> {
  const { unverifiedSlots } = await inspect(backup);
  return unverifiedSlots.some(({ kind }) => kind === "passphrase" || kind === "symmetric");
}

async function isDenied(): Promise<boolean> {
  try {
    return (await navigator.permissions.query({ name: "persistent-storage" as PermissionName })).state === "denied";
  } catch {
    return false;
  }
}

/** WebKit deletes what scripts have stored when the user has not been there on 7 days of use; an app on the home screen is exempt. */
function isCappedAt7Days(): boolean {
  const { userAgent } = navigator;
  const onHomeScreen = (navigator as { standalone?: boolean }).standalone === true;
  return userAgent.includes("AppleWebKit/") && !/Chrom(e|ium)\//.test(userAgent) && !onHomeScreen;
}
