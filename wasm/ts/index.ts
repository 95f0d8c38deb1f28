// What the package exports. The entry files (`node.ts`, `browser.ts`, `inline.ts`) add where the module is found.

export { SealContext, type ContextField } from "./context.js";
export { SealwireError, type ErrorCode } from "./error.js";
export { Identity, Keyring, Passphrase, SymmetricKey, type Argon2Costs, type Key, type Unlock } from "./keys.js";
export { Fingerprint, Pin, Recipient, Signer, type Kem } from "./recipient.js";
export { askForPersistence, storageHealth, type StorageHealth, type StorageHealthOptions } from "./stores/health.js";
export { IndexedDbStore, type IndexedDbStoreOptions } from "./stores/indexeddb.js";
export { PasskeyStore, type PasskeyCreateOptions, type PasskeyUnlockOptions } from "./stores/passkey.js";
export { MemoryStore, type SecretStore } from "./stores/store.js";
export {
  inspect,
  open,
  reseal,
  rewrap,
  seal,
  type About,
  type Aead,
  type Header,
  type Metadata,
  type MetadataValue,
  type OpenOptions,
  type Opened,
  type Plaintext,
  type Reader,
  type Recipients,
  type RecipientsOptions,
  type Sealed,
  type SealOptions,
  type UnverifiedSlot,
} from "./seal.js";
