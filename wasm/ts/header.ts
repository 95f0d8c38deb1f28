import { bytes } from "./context.js";
import { type ContentKey, type Unlock, makeContentKey, rawKeyring } from "./keys.js";
import * as glue from "./glue/sealwire.js";
import { call, run, scoped } from "./module.js";
import type { Kem } from "./recipient.js";
import { type Aead, type Metadata, type RawMetadata, type Sealed, frontOf, metadataOf } from "./seal.js";
import { unlocking } from "./stretch.js";

/** One slot of a header, as a stranger claims it. */
export type UnverifiedSlot =
  | { readonly kind: "hpke"; readonly kem: Kem; /** 4 bytes; absent in an anonymous slot. */ readonly hint?: Uint8Array }
  | ({ readonly kind: "passphrase" } & { readonly memory: number; readonly passes: number; readonly lanes: number })
  | { readonly kind: "symmetric"; readonly keyId: Uint8Array }
  | { readonly kind: "external"; readonly service: string }
  | { readonly kind: "unknown" };

/**
 * One slot, as a question: who can unlock this? Everything in it is a stranger's claim.
 *
 * To unlock it elsewhere (asynchronously, or in hardware) run the operation of its kind with `binding` as HPKE `info` and empty associated data
 * (`hpke`), or as associated data of your key service (`external`), and give the 32 bytes to {@link Header.contentKey}. Source: SPEC §4.
 */
export type UnlockRequest = UnverifiedSlot & {
  /** What ties the slot to its envelope. */
  readonly binding: Uint8Array;
  /** The sealed content key: 48 bytes, or whatever a key service made of it; empty in an unknown slot. */
  readonly ct: Uint8Array;
  /** HPKE's `enc`: 1120 bytes for X-Wing, 32 for X25519. */
  readonly enc?: Uint8Array;
  /** The salt of a passphrase (16 bytes) or of a symmetric key (32). */
  readonly salt?: Uint8Array;
};

/** The front of an envelope. **Nothing in it is verified**: it is what a stranger claims. Source: SPEC §1, §2. */
export class Header {
  readonly #bytes: Uint8Array;
  /** How many bytes the header takes; the body follows. */
  readonly length: number;
  /** The envelope id (32 bytes). */
  readonly unverifiedId: Uint8Array;
  /** The AEAD of the body. */
  readonly unverifiedAead: Aead;
  /** Whether the body is padded. */
  readonly unverifiedPadded: boolean;
  /** How many bytes the private block takes, encrypted, if there is one. */
  readonly unverifiedPrivateBlockLength?: number;
  /** The public metadata. */
  readonly unverifiedMetadata: Metadata;
  /** The slots. */
  readonly unverifiedSlots: readonly UnverifiedSlot[];

  private constructor(front: Uint8Array) {
    const [length, id, aead, padded, privateLength, metadata, slots] = glue.inspect(front) as [
      number, Uint8Array, Aead, boolean, number | undefined, RawMetadata, RawSlot[],
    ];
    this.#bytes = new Uint8Array(front.subarray(0, length));
    this.length = length;
    this.unverifiedId = id;
    this.unverifiedAead = aead;
    this.unverifiedPadded = padded;
    if (privateLength !== undefined) this.unverifiedPrivateBlockLength = privateLength;
    this.unverifiedMetadata = metadataOf(metadata);
    this.unverifiedSlots = slots.map(slotOf);
  }

  /** Reads the header at the front of an envelope, or one that is stored apart. Rejects as {@link inspect} does. */
  static parse(envelope: Sealed): Promise<Header> {
    return run(() => new Header(frontOf(bytes(envelope))));
  }

  /**
   * What each slot asks for, in order, for keys that are asynchronous or in hardware: find a slot that is yours, unlock it where your key is, and
   * come back with {@link Header.contentKey}.
   *
   * ```ts
   * const header = await Header.parse(envelope);
   * const mine = header.unlockRequests().find((request) => request.kind === "external" && request.service === "my-kms");
   * const key = header.contentKey(await kms.decrypt(mine.ct, mine.binding));
   * const opened = await open(envelope, key, context);
   * ```
   */
  unlockRequests(): UnlockRequest[] {
    const requests = call(() => glue.unlockRequests(this.#bytes)) as unknown as [RawSlot, Uint8Array, Uint8Array, Uint8Array][];
    return requests.map(([raw, binding, ct, more]) => {
      const slot = slotOf(raw);
      const salted = slot.kind === "passphrase" || slot.kind === "symmetric";
      return { ...slot, binding, ct, ...(salted ? { salt: more } : slot.kind === "hpke" ? { enc: more } : {}) };
    });
  }

  /**
   * What was unlocked elsewhere (32 bytes, to be wiped by you), if it is the key of this envelope. Throws `NotRecipient` if it is not, or the
   * header was altered; `InvalidKey` for another length.
   */
  contentKey(unlocked: Uint8Array): ContentKey {
    return call(() => makeContentKey(glue.ContentKey.verified(this.#bytes, bytes(unlocked))));
  }

  /**
   * The content key, by keys in memory: to open what belongs to one header several times, and run Argon2 once. Rejects with `NotRecipient` if none
   * opens it, and with `TooLarge` beyond the limits of {@link Keyring}.
   */
  unlock(keys: Unlock): Promise<ContentKey> {
    return unlocking(keys, (keys) =>
      run(() => scoped((own) => makeContentKey(glue.ContentKey.unlocked(this.#bytes, own(rawKeyring(keys)))))),
    );
  }
}

/**
 * Reads the header at the front of `envelope`, without any key: who needs no key to see what. Rejects with `Malformed`, `Unsupported`,
 * `Truncated` or `TooLarge` (a header above 2 MiB), as SPEC §1 to §4 say.
 */
export function inspect(envelope: Sealed): Promise<Header> {
  return Header.parse(envelope);
}

type RawSlot = [UnverifiedSlot["kind"], ...unknown[]];

function slotOf([kind, ...rest]: RawSlot): UnverifiedSlot {
  switch (kind) {
    case "hpke": {
      const [kem, hint] = rest as [Kem, Uint8Array | undefined];
      return hint === undefined ? { kind, kem } : { kind, kem, hint };
    }
    case "passphrase": {
      const [memory, passes, lanes] = rest as [number, number, number];
      return { kind, memory, passes, lanes };
    }
    case "symmetric":
      return { kind, keyId: rest[0] as Uint8Array };
    case "external":
      return { kind, service: rest[0] as string };
    default:
      return { kind: "unknown" };
  }
}
