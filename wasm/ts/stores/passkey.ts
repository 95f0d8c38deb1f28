import { chosen } from "../context.js";
import { SealwireError, misuse } from "../error.js";
import { Database, answer, keyGone } from "./database.js";
import { SealedStore, Sealing } from "./sealed.js";
import { checkName, storeFailed } from "./store.js";

const INPUT_LEN = 32;
const OUTPUT_LEN = 32;

/** Which store to unlock. */
export interface PasskeyUnlockOptions {
  /** The store's name, by the rules for the name of a secret. The database is `sealwire-passkey.` and this name. */
  readonly name: string;
  /** Takes the prompt away: the call rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Which store to make, and what the passkey is called. */
export interface PasskeyCreateOptions extends PasskeyUnlockOptions {
  /** Whose passkey it is, as the user will find it in the list of passkeys. */
  readonly userName: string;
  /** What the app is called in the prompt; the page's host unless said. */
  readonly appName?: string | undefined;
  /** The domain that the passkey is for: the page's host, or a parent of it. The host unless said. */
  readonly rpId?: string | undefined;
}

/**
 * A {@link SecretStore} in IndexedDB whose key comes out of a passkey (WebAuthn, extension `prf`): it is not on the disk at all, and each
 * unlocking asks for the user's finger, face or PIN. For pages; a worker cannot ask.
 *
 * **What it protects against:** a thief of the disk, with all that the browser stores, as long as the passkey is not on that disk too.
 * **What it does not:** from the unlocking on, a script on your page, an extension with access to it and malware; nor eviction; and
 * **without the passkey nothing opens it again**: keep a recovery passphrase or key. Passkeys that are synchronised are as safe as the
 * account that synchronises them. For tabs, deletion, quota and binding it is as `IndexedDbStore`. Source: SPEC §13.
 *
 * ```ts
 * const store = (await PasskeyStore.exists("keys"))
 *   ? await PasskeyStore.unlock({ name: "keys" })
 *   : await PasskeyStore.create({ name: "keys", userName: "alice@example.com" });
 * ```
 */
export class PasskeyStore extends SealedStore {
  /**
   * Whether this browser can do it. A browser that does not say is taken at its having a platform authenticator, and
   * {@link PasskeyStore.create} tells for certain.
   */
  static async isAvailable(): Promise<boolean> {
    if (typeof PublicKeyCredential === "undefined" || typeof indexedDB === "undefined") return false;
    const capabilities = await (PublicKeyCredential as unknown as {
      getClientCapabilities?: () => Promise<Record<string, boolean>>;
    }).getClientCapabilities?.();
    return capabilities?.["extension:prf"] ?? PublicKeyCredential.isUserVerifyingPlatformAuthenticatorAvailable();
  }

  /** Whether this browser has a store of this name. */
  static async exists(name: string): Promise<boolean> {
    const database = await open(name);
    try {
      return (await find(database)) !== undefined;
    } finally {
      database.close();
    }
  }

  /**
   * Makes a passkey and a store that it unlocks; asks the user, once or twice as the authenticator does.
   *
   * Rejects with `Store` if the prompt was cancelled or ran out of time, `Unsupported` if the authenticator has no `prf` (the passkey then
   * exists, and is of no use), `Misuse` if there is a store of this name, or for a domain that is not the page's.
   */
  static async create(options: PasskeyCreateOptions): Promise<PasskeyStore> {
    const { name, userName, appName, rpId, signal } = chosen(options, "name", "userName", "appName", "rpId", "signal");
    const database = await open(name);
    try {
      if ((await find(database)) !== undefined) throw exists();
      const input = random(INPUT_LEN);
      const host = rpId ?? location.hostname;
      const create = () =>
        navigator.credentials.create({
          publicKey: {
            challenge: random(32),
            rp: { id: host, name: appName ?? host },
            user: { id: random(16), name: userName, displayName: userName },
            pubKeyCredParams: [-7, -257, -8].map((alg) => ({ type: "public-key", alg })),
            authenticatorSelection: { residentKey: "preferred", userVerification: "required" },
            extensions: { prf: { eval: { first: input } } },
          },
          ...(signal === undefined ? {} : { signal }),
        });
      const credential = await asked(create, signal);
      const made = { credential: new Uint8Array(credential.rawId), input, rpId: host };
      const { prf } = credential.getClientExtensionResults();
      const first = output(prf);
      if (first === undefined && prf?.enabled !== true) throw withoutPrf();
      // Some authenticators answer only when they are asked again.
      const key = await keyOf(first ?? (await ask(made, signal)), made, name);
      const [sealing, id] = [new Sealing(key, name), random(16)];
      const passkey: Passkey = { ...made, check: await sealing.seal("", new Uint8Array()) };
      await database.transact("readwrite", async ({ keys }) => {
        if ((await answer(keys.get("passkey"))) !== undefined) throw exists();
        await Promise.all([answer(keys.put(passkey, "passkey")), answer(keys.put(id, "id"))]);
      });
      return new PasskeyStore(database, sealing, id);
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /**
   * Unlocks the store; asks the user. Rejects with `Store` if there is none, or if the prompt was cancelled, ran out of time or found
   * no such passkey; `NotRecipient` if the passkey's key is another than it was.
   */
  static async unlock(options: PasskeyUnlockOptions): Promise<PasskeyStore> {
    const { name, signal } = chosen(options, "name", "signal");
    const database = await open(name);
    try {
      const found = (await find(database)) ?? keyless();
      const sealing = new Sealing(await keyOf(await ask(found.passkey, signal), found.passkey, name), name);
      await sealing.open("", found.passkey.check).catch((error: SealwireError) => {
        throw error.code === "Rejected" ? new SealwireError("NotRecipient", "this passkey does not open the store") : error;
      });
      return new PasskeyStore(database, sealing, found.id);
    } catch (error) {
      database.close();
      throw error;
    }
  }
}

/** What is kept to ask the passkey again. */
interface Passkey {
  readonly credential: Uint8Array<ArrayBuffer>;
  readonly input: Uint8Array<ArrayBuffer>;
  readonly rpId: string;
  /** Nothing, sealed: tells whether the key is the same. */
  readonly check: Uint8Array;
}

function open(name: string): Promise<Database> {
  checkName(name);
  return Database.open(`sealwire-passkey.${name}`);
}

async function find(database: Database): Promise<{ passkey: Passkey; id: Uint8Array } | undefined> {
  return database.transact("readonly", async ({ keys, records }) => {
    const [passkey, id, count] = await Promise.all([
      answer(keys.get("passkey") as IDBRequest<Passkey | undefined>), answer(keys.get("id")), answer(records.count()),
    ]);
    if (passkey !== undefined && id instanceof Uint8Array) return { passkey, id };
    return count > 0 || passkey !== undefined || id !== undefined ? keyless() : undefined;
  });
}

async function ask({ credential, input, rpId }: Omit<Passkey, "check">, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const get = () =>
    navigator.credentials.get({
      publicKey: {
        challenge: random(32),
        rpId,
        allowCredentials: [{ type: "public-key", id: credential }],
        // With and without it an authenticator has two different keys.
        userVerification: "required",
        extensions: { prf: { eval: { first: input } } },
      },
      ...(signal === undefined ? {} : { signal }),
    });
  const answered = await asked(get, signal);
  const first = output(answered.getClientExtensionResults().prf);
  if (first === undefined) throw withoutPrf();
  return first;
}

function output(prf: AuthenticationExtensionsPRFOutputs | undefined): Uint8Array | undefined {
  const first = prf?.results?.first;
  return first instanceof ArrayBuffer && first.byteLength === OUTPUT_LEN ? new Uint8Array(first) : undefined;
}

/** Wipes what the passkey gave. */
async function keyOf(given: Uint8Array, { input }: Omit<Passkey, "check">, name: string): Promise<CryptoKey> {
  const raw = await crypto.subtle.importKey("raw", given as BufferSource, "HKDF", false, ["deriveKey"]);
  given.fill(0);
  const info = new TextEncoder().encode(`sealwire/v1 passkey store\0${name}`);
  const hkdf = { name: "HKDF", hash: "SHA-256", salt: input, info };
  return crypto.subtle.deriveKey(hkdf, raw, { name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
}

async function asked(ask: () => Promise<Credential | null>, signal: AbortSignal | undefined): Promise<PublicKeyCredential> {
  try {
    const credential = await ask();
    if (credential instanceof PublicKeyCredential) return credential;
  } catch (cause) {
    if (signal?.aborted) throw signal.reason;
    switch ((cause as DOMException).name) {
      case "NotAllowedError":
        throw storeFailed("the passkey did not answer: cancelled, out of time, or not here", cause);
      case "NotSupportedError":
        throw new SealwireError("Unsupported", "not supported by this version: this browser's passkeys", { cause });
      case "SecurityError":
        throw misuse("a passkey is for the page's own domain");
      default:
        throw storeFailed("the passkey", cause);
    }
  }
  throw storeFailed("there are no passkeys here");
}

function random(length: number): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(length));
}

function exists(): SealwireError {
  return misuse("there is a passkey store of this name: unlock it");
}

function keyless(): never {
  throw keyGone();
}

function withoutPrf(): SealwireError {
  return new SealwireError("Unsupported", "not supported by this version: an authenticator without prf");
}
