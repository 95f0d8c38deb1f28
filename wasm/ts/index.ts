// What the package exports. The entry files (`node.ts`, `browser.ts`, `inline.ts`) add where the module is found.

export { SealedBlob, type RangeSource } from "./blob.js";
export { SealContext, type ContextField } from "./context.js";
export { SealwireError, type ErrorCode } from "./error.js";
export {
  sealedFetch,
  sealedInfo,
  type CallEvent,
  type CallOptions,
  type ListItem,
  type SealedFetch,
  type SealedFetchOptions,
  type SealedInfo,
} from "./fetch.js";
export { ContentKey, Identity, Keyring, Passphrase, SymmetricKey, type Argon2Costs, type Key, type Unlock } from "./keys.js";
export { type LastSeenStore } from "./last_seen.js";
export { type InPlace, type Policy, type Rule, type SealedResource, type ServiceKeys, type ServicePins, type Tunnel } from "./policy.js";
export { Fingerprint, Pin, Recipient, Signer, type Kem } from "./recipient.js";
export { askForPersistence, storageHealth, type StorageHealth, type StorageHealthOptions } from "./stores/health.js";
export { IndexedDbStore, type IndexedDbStoreOptions } from "./stores/indexeddb.js";
export { PasskeyStore, type PasskeyCreateOptions, type PasskeyUnlockOptions } from "./stores/passkey.js";
export { MemoryStore, type SecretStore } from "./stores/store.js";
export { signRequest, type SignRequestOptions } from "./request.js";
export { Header, inspect, type UnlockRequest, type UnverifiedSlot } from "./header.js";
export { join, openDetached, sealParts, split, type SealedParts } from "./detached.js";
export {
  open,
  reseal,
  rewrap,
  rewrapHeader,
  seal,
  type About,
  type Aead,
  type KeyService,
  type Metadata,
  type MetadataValue,
  type OpenOptions,
  type Opened,
  type Plaintext,
  type Reader,
  type Readers,
  type Recipients,
  type RecipientsOptions,
  type Sealed,
  type SealOptions,
} from "./seal.js";
export {
  openStream,
  sealStream,
  type Finished,
  type OpenStreamOptions,
  type OpenTransform,
  type SealStreamOptions,
} from "./stream.js";
export { fromText, toText } from "./text.js";
