import { type SealContext, bare, bytes, chosen, flag, rawContext, textual, theirs, unsigned, wellFormed } from "./context.js";
import { SealwireError, misuse } from "./error.js";
import * as glue from "./glue/sealwire.js";
import { run, scoped } from "./module.js";
import { Identity, Passphrase, SymmetricKey, type Unlock, rawIdentity, rawKey, rawKeyring } from "./keys.js";
import { openOutside, opensOutside, resealOutside, sealOutside, sealsOutside } from "./outside.js";
import { StretchedReader, stretching, unlocking } from "./stretch.js";
import { join, split } from "./detached.js";
import { Recipient, type Signer, makeSigner, rawRecipient } from "./recipient.js";

/**
 * The AEAD of an envelope's body; every reader opens both. The default is `ChaCha20Poly1305`, fast and constant time in plain software,
 * and from 64 KiB on `Aes256Gcm`, where the platform has WebCrypto, which is several times faster on large payloads.
 */
export type Aead = "Aes256Gcm" | "ChaCha20Poly1305";

/** A payload: bytes, or text, which is sealed as UTF-8 (`Misuse` if it holds half a surrogate pair). */
export type Plaintext = Uint8Array | ArrayBuffer | string;

/** Bytes that came from elsewhere. */
export type Sealed = Uint8Array | ArrayBuffer;

/**
 * A reader. A named recipient's slot carries a 4-byte hint, by which whoever knows their public keys, such as a server with a directory,
 * can test whether they are among the readers; `{ anonymous }` leaves it out, and every reader with a key of that KEM tries the slot.
 */
export type Reader = Recipient | { readonly anonymous: Recipient } | Passphrase | SymmetricKey;

/** The complete list of who can open an envelope: 1 to 1024 readers, of which at most 64 anonymous and 2 passphrases. Source: SPEC §4. */
export type Recipients = Reader | readonly Reader[];

/**
 * A key service that wraps content keys: a KMS, an HSM, which is asked over a network. An envelope is opened by one in two steps, with
 * {@link Header.unlockRequests}. Source: SPEC §4.
 *
 * ```ts
 * const kms: KeyService = { service: "my-kms", wrapKey: (contentKey, binding) => encrypt(contentKey, { associatedData: binding }) };
 * const envelope = await seal("Dear Bob", [bob, kms], context);
 * ```
 */
export interface KeyService {
  /** The service's name, 1 to 255 bytes. It stands in the envelope, **in clear**. */
  readonly service: string;
  /**
   * Wraps a content key (32 bytes, wiped when the call that asks has ended) into 1 to 65536 bytes. What the service can bind, it is to bind `binding` (AWS: the
   * encryption context), so that nobody moves a wrapped key to another envelope; the slots tag holds it there in any case. If it rejects the call is `Store`.
   */
  wrapKey(contentKey: Uint8Array<ArrayBuffer>, binding: Uint8Array<ArrayBuffer>): Promise<Uint8Array>;
}

/** The complete list of who can open an envelope, with key services among them. Each is asked once. */
export type Readers = Recipients | KeyService | readonly (Reader | KeyService)[];

/** A value in {@link Metadata}: text or bytes of at most 4096 bytes, or an unsigned integer (`bigint` from 2^53). */
export type MetadataValue = string | number | bigint | Uint8Array;

/**
 * What anybody who holds the envelope may read, and nobody can change unnoticed. **It is not encrypted.** At most 64 entries, keys of 1
 * to 64 bytes. The key `version` is reserved for the version of the resource, an unsigned integer. Source: SPEC §2.
 */
export type Metadata = ReadonlyMap<string, MetadataValue>;

/** What to seal with, beside the defaults. */
export interface SealOptions extends RecipientsOptions {
  /**
   * Signs, so that readers can tell who wrote it. Without it anybody who knows a recipient may have written the envelope. The server
   * sees neither signer nor signature; the named recipients are listed to the readers as the audience. Source: SPEC §8.
   */
  readonly sign?: Identity | undefined;
  /** **Public** metadata: authenticated, not encrypted. See {@link Metadata} for the limits. */
  readonly metadata?: Readonly<Record<string, MetadataValue>> | Metadata | undefined;
  /** When the payload was made, told to the readers only: seconds since 1970-01-01T00:00:00Z. It is the sealer's claim. */
  readonly created?: number | bigint | undefined;
  /** The payload's media type, told to the readers only; 1 to 255 bytes. */
  readonly contentType?: string | undefined;
  /** A file name, told to the readers only; 1 to 255 bytes, a name and not a path. */
  readonly filename?: string | undefined;
  /** The body's AEAD; see {@link Aead} for which is taken if none is chosen. */
  readonly aead?: Aead | undefined;
  /** `"none"` leaves the padding out: the envelope then shows the payload's exact length. */
  readonly padding?: "padme" | "none" | undefined;
  /** Names the body, to be named again to open it; at most 255 bytes. */
  readonly part?: string | undefined;
}

/** What a list of recipients may be. */
export interface RecipientsOptions {
  /**
   * Lets X25519 recipients stand beside X-Wing ones. One of them is enough for a quantum computer to open the whole envelope, so
   * without this the mix is `Misuse`.
   */
  readonly allowClassical?: boolean | undefined;
}

/** What to open with, beside the defaults. */
export interface OpenOptions {
  /**
   * Who may have signed: anybody else, and the unsigned, are `Rejected`. By default anybody, also nobody: anybody who knows a recipient
   * may have written the envelope. A signature that is there has to be right in any case.
   */
  readonly expect?: "anyone" | Signer | readonly Signer[] | undefined;
  /** The body's name, as the sealer gave it. */
  readonly part?: string | undefined;
}

/** The members of {@link SealOptions}, and of {@link OpenOptions}. */
export const SEALING = ["allowClassical", "sign", "metadata", "created", "contentType", "filename", "aead", "padding", "part"];
export const OPENING = ["expect", "part"];

/** What the sealer said about the payload; all of it authenticated with the envelope. */
export interface About {
  /** The public metadata: the server saw it too. */
  readonly metadata: Metadata;
  /**
   * The version of the resource, from the metadata's reserved key `version`. Compare it with the last one that you saw: a server can
   * serve an old envelope as new.
   */
  readonly version?: number | bigint;
  /** When it was made, by the sealer's clock: seconds since 1970-01-01T00:00:00Z; a `bigint` from 2^53. */
  readonly created?: number | bigint;
  /** The payload's media type. */
  readonly contentType?: string;
  /** A file name; never a path. */
  readonly filename?: string;
  /**
   * Whether the sealer addressed it to the reader who opened it: listed by name (`yes`), others were and this reader was not (`no`), or
   * nobody was, or no recipient's key opened it (`unstated`). A rewrap does not change it.
   */
  readonly addressedToMe: "yes" | "no" | "unstated";
}

/** An opened payload, and what is known of it. What prints, serialises or clones it does not show the payload. */
export interface Opened {
  /** The payload: a buffer of its own. */
  readonly plaintext: Uint8Array<ArrayBuffer>;
  /** The payload as text: throws `Malformed` if it is not UTF-8. */
  text(): string;
  /** Who signed exactly this payload for exactly this context; without it nobody signed, and anybody may have written it. */
  readonly signer?: Signer;
  /** What the sealer said about it. */
  readonly about: About;
}

/**
 * Seals `plaintext` to `recipients`, for `context`.
 *
 * The result is an envelope: only who is on the list can read it, nobody can change it unnoticed, and it opens only for the same
 * context. It is padded, and unsigned unless `sign` says otherwise: anybody who knows a recipient may have written it. It is 1.4 KB longer
 * than the padded payload for one X-Wing recipient, 0.3 KB for an X25519 one. Source: SPEC §1 to §7.
 *
 * Rejects with `Misuse` if there is nobody to seal to, if X25519 and X-Wing recipients are mixed, or for a context over its limits;
 * with `TooLarge` for more than 1024 recipients.
 *
 * ```ts
 * const context = new SealContext("notes", "17");
 * const envelope = await seal("hello Bob", [toBob], context, { sign: alice });
 * ```
 */
export async function seal(
  plaintext: Plaintext,
  recipients: Readers,
  context: SealContext,
  options: SealOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  options = chosen(options, ...SEALING);
  const payload = payloadOf(plaintext);
  return serving(recipients, context, options, (recipients) => {
    const large = sealsOutside(payload, options);
    if (large !== undefined) return sealOutside(large, recipients, context, options);
    return run(() =>
      scoped((own) => own(rawSealing(recipients, context, options)).seal(payload) as Uint8Array<ArrayBuffer>),
    );
  });
}

/**
 * Opens `envelope` with `keys`, for `context`.
 *
 * Nothing is returned before everything was verified. Unsigned envelopes and any signer are accepted, and said, unless `expect` lists
 * who may have signed. Source: SPEC §11.
 *
 * Rejects with `NotRecipient` if no key opens it (also for a wrong passphrase, and an altered header); `Rejected` if it was altered,
 * belongs to another context or part, or was signed by another; `Truncated`, `Malformed`, `Unsupported` or `TooLarge` if the bytes are
 * no acceptable envelope.
 *
 * ```ts
 * const opened = await open(envelope, bob, new SealContext("notes", "17"), { expect: alice.signer });
 * console.log(opened.text());
 * ```
 */
export async function open(
  envelope: Sealed,
  keys: Unlock,
  context: SealContext,
  options: OpenOptions = {},
): Promise<Opened> {
  options = chosen(options, ...OPENING);
  const sealed = bytes(envelope);
  return unlocking(keys, async (keys) => {
    const large = opensOutside(sealed);
    if (large !== undefined) return openOutside(large, keys, context, options);
    return run(() =>
      scoped((own) => {
        const opening = own(rawOpening(keys, context, options));
        const opened = own(opening.open(sealed));
        const signer = opened.signer();
        return new OpenedPayload(opened.plaintext() as Uint8Array<ArrayBuffer>, {
          ...(signer === undefined ? {} : { signer: makeSigner(signer) }),
          about: aboutOf(opened.about() as unknown as RawAbout),
        });
      }),
    );
  });
}

/**
 * Changes who can open an envelope, without touching its payload: `recipients` is the complete new list.
 *
 * It does **not** revoke: a removed reader may have kept the key. {@link reseal} does, for what is written from then on. Before anything
 * is given away the envelope is verified under `context`, so that a server cannot have another row's envelope rewrapped to the wrong
 * people. Rejects as {@link open} and {@link seal} do; the body's chunks are not looked at. Source: SPEC §12.
 */
export async function rewrap(
  envelope: Sealed,
  keys: Unlock,
  context: SealContext,
  recipients: Readers,
  options: RecipientsOptions & OpenOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const { header, body } = await split(envelope);
  return join(await rewrapHeader(header, body, keys, context, recipients, options), body);
}

/**
 * The same for an envelope whose body is elsewhere: takes the header, and of the body the first 56 bytes or more, and gives the new header. Its
 * time does not depend on the body's size. Rejects with `Truncated` if there is less of the body. Source: SPEC §12.
 */
export async function rewrapHeader(
  header: Sealed,
  bodyFront: Sealed,
  keys: Unlock,
  context: SealContext,
  recipients: Readers,
  options: RecipientsOptions & OpenOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const { allowClassical, ...expected } = chosen(options, "allowClassical", ...OPENING);
  const front = join(frontOf(bytes(header)), bytes(bodyFront).subarray(0, BODY_HEAD));
  return unlocking(keys, (keys) =>
    stretching(recipients as Recipients, async (recipients) => {
      const services: Asked[] = [];
      const readers = listOf(recipients).map((reader) => {
        if (!isService(reader)) return reader;
        const asked = new Asked(reader);
        services.push(asked);
        return asked;
      });
      const rewrapped = () =>
        changing(keys, readers as unknown as Reader[], context, expected, { allowClassical }, (opening, sealing) =>
          opening.rewrap(front, sealing).slice(0, -BODY_HEAD),
        );
      try {
        // The key stays the same, and so does what ties a slot to the envelope: the first time only tells what services are to be asked.
        const header = await rewrapped();
        if (services.length === 0) return header;
        await Promise.all(services.map((asked) => asked.ask()));
        return await rewrapped();
      } finally {
        for (const { questions } of services) for (const [contentKey] of questions) contentKey.fill(0);
      }
    }),
  );
}

/** A key service among recipients: what it is asked, and what it has answered. */
class Asked {
  readonly questions: Parameters<KeyService["wrapKey"]>[] = [];
  #answer = new Uint8Array(1);

  constructor(readonly service: KeyService) {}

  /** The module's own question, which is answered at once. */
  readonly wrap = (...question: Parameters<KeyService["wrapKey"]>) => {
    this.questions.push(question);
    return this.#answer;
  };

  async ask(): Promise<void> {
    try {
      const [question] = this.questions as [Parameters<KeyService["wrapKey"]>];
      this.#answer = new Uint8Array(bytes(await this.service.wrapKey(...question)));
    } catch (cause) {
      throw new SealwireError("Store", "store failed: a key service", { cause });
    }
  }
}

/** Whoever is known by its class is none, whatever a script has put into every object. */
export function isService(reader: unknown): reader is KeyService {
  const isKnown = [Recipient, Passphrase, SymmetricKey, StretchedReader].some((known) => reader instanceof known);
  const { anonymous, wrapKey } = (reader ?? {}) as { anonymous?: unknown; wrapKey?: unknown };
  return !isKnown && !(anonymous instanceof Recipient) && typeof wrapKey === "function";
}

/**
 * Seals to key services, too: first to a key of this moment in their place, by which the envelope is rewrapped when they were asked. Of the envelope
 * the front is enough, as far as the first 56 bytes of the body.
 */
export function serving(
  recipients: Readers,
  context: SealContext,
  { allowClassical, part }: SealOptions,
  operation: (recipients: Recipients) => Promise<Uint8Array<ArrayBuffer>>,
): Promise<Uint8Array<ArrayBuffer>> {
  return stretching(recipients as Recipients, async (recipients) => {
    const others = listOf(recipients).filter((reader) => !isService(reader));
    if (others.length === listOf(recipients).length) return operation(recipients);
    const key = await SymmetricKey.generate();
    try {
      return await rewrap(await operation([...others, key]), key, context, recipients, { allowClassical, part });
    } finally {
      key.free();
    }
  });
}

/** What the body's commitment is in. */
export const BODY_HEAD = 56;

/**
 * Opens an envelope and seals its payload anew, under a new key: the only revocation there is, for what is written from then on.
 *
 * Metadata, creation time, content type, file name, AEAD and padding are taken over where `options` do not say something else. An
 * envelope that is signed needs `sign`, else `Misuse`. Rejects as {@link open} and {@link seal} do, and with `TooLarge` above 512 MiB on a page
 * without TLS, which has no WebCrypto. Source: SPEC §12.
 */
export async function reseal(
  envelope: Sealed,
  keys: Unlock,
  context: SealContext,
  recipients: Readers,
  options: SealOptions & OpenOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  options = chosen(options, ...SEALING, ...OPENING);
  const whole = bytes(envelope);
  const large = opensOutside(whole);
  if (large === undefined && whole.length > MAX_RESEALED) {
    throw new SealwireError("TooLarge", "too large: an envelope to be resealed in one step");
  }
  return unlocking(keys, (keys) =>
    serving(recipients, context, options, (recipients) =>
      large !== undefined
        ? resealOutside(large, keys, context, recipients, options)
        : changing(keys, recipients, context, options, options, (opening, sealing) => sealing.reseal(whole, opening)),
    ),
  );
}

/** Where the platform does not help, the module holds it twice, and its payload. */
export const MAX_RESEALED = 512 * 1024 * 1024;

/** As much as a header may have: the module's memory never shrinks, and has no room for every envelope. */
export function frontOf(envelope: Uint8Array): Uint8Array {
  return envelope.subarray(0, 2 * 1024 * 1024 + BODY_HEAD);
}

/** Runs what needs both: keys that open, and readers to seal to. */
function changing(
  keys: Unlock,
  recipients: Recipients,
  context: SealContext,
  openOptions: OpenOptions,
  sealOptions: SealOptions,
  change: (opening: glue.Opening, sealing: glue.Sealing) => Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  return run(() =>
    scoped((own) => {
      const opening = own(rawOpening(keys, context, openOptions));
      return change(opening, own(rawSealing(recipients, context, sealOptions))) as Uint8Array<ArrayBuffer>;
    }),
  );
}

/** What to seal with, inside the module. */
export function rawSealing(recipients: Recipients, context: SealContext, options: SealOptions, aead = options.aead): glue.Sealing {
  const sealing = scoped((own) => new glue.Sealing(own(rawContext(context))));
  for (const reader of listOf(recipients)) {
    if (reader instanceof Recipient) sealing.recipient(rawRecipient(reader));
    else if (reader instanceof StretchedReader) sealing.stretched(reader.bytes);
    else if (reader instanceof SymmetricKey) sealing.key(rawKey(reader));
    else if (reader instanceof Asked) sealing.service(wellFormed(reader.service.service), reader.wrap);
    else if (reader instanceof Passphrase) throw misuse("a passphrase is stretched first");
    else if (reader?.anonymous instanceof Recipient) sealing.anonymous(rawRecipient(reader.anonymous));
    else throw misuse("a recipient is a Recipient (await Recipient.parse(text), identity.recipient), a Passphrase or a SymmetricKey, of this copy of the package");
  }
  if (flag(options.allowClassical)) sealing.allowClassical();
  if (options.sign !== undefined) sealing.sign(rawIdentity(options.sign));
  const metadata = options.metadata ?? [];
  for (const [key, value] of theirs(() => [...(isIterable(metadata) ? metadata : Object.entries(metadata))])) {
    if (typeof value === "string") sealing.metadataText(wellFormed(key), wellFormed(value));
    else if (value instanceof Uint8Array) sealing.metadataBytes(wellFormed(key), bytes(value));
    else sealing.metadataNumber(wellFormed(key), unsigned(value));
  }
  if (options.created !== undefined) sealing.created(unsigned(options.created));
  if (options.contentType !== undefined) sealing.contentType(wellFormed(options.contentType));
  if (options.filename !== undefined) sealing.filename(wellFormed(options.filename));
  if (aead !== undefined) sealing.aead(textual(aead));
  if (options.padding === "none") sealing.unpadded();
  else if (options.padding !== undefined && options.padding !== "padme") throw misuse("padding is padme or none");
  if (options.part !== undefined) sealing.part(wellFormed(options.part));
  return sealing;
}

export function listOf(recipients: Recipients): readonly Reader[] {
  return Array.isArray(recipients) ? (recipients as readonly Reader[]) : [recipients as Reader];
}

/** What to open with, inside the module. */
export function rawOpening(keys: Unlock, context: SealContext, options: OpenOptions): glue.Opening {
  const opening = scoped((own) => new glue.Opening(rawKeyring(keys), own(rawContext(context))));
  if (options.expect !== undefined && options.expect !== "anyone") {
    opening.expectNobody();
    const { expect } = options;
    for (const signer of theirs(() => (isIterable(expect) ? [...expect] : [expect]).map(String))) opening.expect(signer);
  }
  if (options.part !== undefined) opening.part(wellFormed(options.part));
  return opening;
}

/** A payload's bytes. */
export function payloadOf(plaintext: Plaintext): Uint8Array {
  return typeof plaintext === "string" ? new TextEncoder().encode(wellFormed(plaintext)) : bytes(plaintext);
}

export type RawAbout = [RawMetadata, bigint | undefined, string | undefined, string | undefined, About["addressedToMe"]];
export type RawMetadata = [string, string | bigint | Uint8Array][];

export function aboutOf([rawMetadata, created, contentType, filename, addressedToMe]: RawAbout): About {
  const metadata = metadataOf(rawMetadata);
  const version = metadata.get("version");
  return bare({
    metadata,
    ...(typeof version === "number" || typeof version === "bigint" ? { version } : {}),
    ...(created === undefined ? {} : { created: narrowed(created) }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(filename === undefined ? {} : { filename }),
    addressedToMe,
  });
}

/** An {@link Opened}. */
export class OpenedPayload implements Opened {
  declare readonly plaintext: Uint8Array<ArrayBuffer>;
  readonly signer?: Signer;
  readonly about: About;

  constructor(plaintext: Uint8Array<ArrayBuffer>, told: { signer?: Signer; about: About }) {
    const { signer, about } = bare(told);
    // Not printed, not copied, and there through a Proxy too, such as those of Vue and MobX: a private field would not be.
    Object.defineProperty(this, "plaintext", { get: () => plaintext });
    if (signer !== undefined) this.signer = signer;
    this.about = about;
  }

  text(): string {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(this.plaintext);
    } catch {
      throw new SealwireError("Malformed", "malformed: the payload is not UTF-8");
    }
  }
}

export function metadataOf(raw: RawMetadata): Metadata {
  return new Map(raw.map(([key, value]) => [key, typeof value === "bigint" ? narrowed(value) : value]));
}

/** A `number` where it is exact. */
function narrowed(value: bigint): number | bigint {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

function isIterable<T, O>(value: Iterable<T> | O): value is Iterable<T> {
  return typeof (value as Iterable<T>)[Symbol.iterator] === "function";
}
