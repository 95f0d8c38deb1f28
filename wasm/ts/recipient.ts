import { textual } from "./context.js";
import * as glue from "./glue/sealwire.js";
import { Held, call, run } from "./module.js";

// For the other files of this package, which make and unwrap what users cannot; `index.ts` does not export them.
export let makeRecipient: (raw: glue.Recipient) => Recipient;
export let rawRecipient: (recipient: Recipient) => glue.Recipient;
export let makeSigner: (text: string) => Signer;
let makeFingerprint: (bytes: Uint8Array, text: string) => Fingerprint;
let makePin: (text: string) => Pin;

/** A KEM: X-Wing (ML-KEM-768 with X25519, post-quantum) or X25519, which is not post-quantum. */
export type Kem = "XWing" | "X25519";

/**
 * To whom something can be sealed: a KEM public key and a signing public key, which signs it.
 *
 * Its text form begins `sealwire1` and can be pasted: 2118 characters for X-Wing, 223 for X25519. A recipient that exists has been
 * checked: both keys are valid, and the signing key has signed the KEM key. That is **no proof that one person holds both**, nor that
 * it is the *person* you mean: that is for you to check, with {@link Recipient.fingerprint} or {@link Pin}. Source: SPEC §10.
 *
 * ```ts
 * const bob = await Recipient.parse(textThatBobPasted);
 * ```
 */
export class Recipient {
  readonly #text: string;
  #held: Held<glue.Recipient>;
  /** Which KEM its content keys are agreed on with. */
  readonly kem: Kem;
  /** The public signing key, to be listed in `expect`. */
  readonly signer: Signer;
  /** SHA-256 over both public keys, for people to compare. */
  readonly fingerprint: Fingerprint;
  /** The short form for configuration files and QR codes. */
  readonly pin: Pin;

  private constructor(raw: glue.Recipient) {
    this.#text = raw.text();
    this.#held = new Held(raw);
    this.kem = raw.kem() as Kem;
    this.signer = makeSigner(raw.signer());
    this.fingerprint = makeFingerprint(raw.fingerprint(), raw.fingerprintText());
    this.pin = makePin(raw.pin());
  }

  /**
   * Reads the text form, `sealwire1…`, with nothing around it.
   *
   * Rejects with `InvalidKey` if a character was changed or lost, a key is not valid, or the signing key has not signed the KEM key;
   * `TooLarge` above 4096 characters; `Unsupported` for another KEM.
   */
  static parse(text: string): Promise<Recipient> {
    return run(() => new Recipient(glue.Recipient.parse(textual(text))));
  }

  /** The text form. */
  toString(): string {
    return this.#text;
  }

  /** The text form. */
  toJSON(): string {
    return this.#text;
  }

  /** True if both public keys are the same. */
  equals(other: Recipient): boolean {
    return this.#text === other.#text;
  }

  static {
    makeRecipient = (raw) => new Recipient(raw);
    rawRecipient = (recipient) => {
      // It is public, so that a replaced instance can have it again.
      if (!recipient.#held.isAlive) recipient.#held = new Held(glue.Recipient.parse(recipient.#text));
      return recipient.#held.object;
    };
  }
}

/**
 * SHA-256 over both public keys of a recipient. `toString` gives the form for people to compare: 8 groups of 4 hex digits (its first
 * 16 bytes). Source: SPEC §10.
 */
export class Fingerprint {
  readonly #text: string;
  readonly #bytes: Uint8Array;

  private constructor(bytes: Uint8Array, text: string) {
    this.#bytes = bytes;
    this.#text = text;
  }

  /** A copy of all 32 bytes. */
  get bytes(): Uint8Array {
    return this.#bytes.slice();
  }

  /** 8 groups of 4 hex digits. */
  toString(): string {
    return this.#text;
  }

  /** True if all 32 bytes are the same. */
  equals(other: Fingerprint): boolean {
    return this.#bytes.every((byte, at) => byte === other.#bytes[at]);
  }

  static {
    makeFingerprint = (bytes, text) => new Fingerprint(bytes, text);
  }
}

/**
 * The whole fingerprint as text, `sealwire-pin1…`, 71 characters: names a recipient in a configuration file or a QR code. A pin cannot
 * be sealed to: fetch the full recipient from anywhere, and check it with {@link Pin.check}.
 */
export class Pin {
  readonly #text: string;

  private constructor(text: string) {
    this.#text = text;
  }

  /** Reads the text form, with nothing around it. Rejects with `InvalidKey` if a character was changed or lost. */
  static parse(text: string): Promise<Pin> {
    return run(() => new Pin(glue.parsePin(textual(text))));
  }

  /** Throws `InvalidKey` if `recipient` is not the pinned one. */
  check(recipient: Recipient): void {
    call(() => glue.checkPin(this.#text, rawRecipient(recipient)));
  }

  /** The text form. */
  toString(): string {
    return this.#text;
  }

  /** The text form. */
  toJSON(): string {
    return this.#text;
  }

  static {
    makePin = (text) => new Pin(text);
  }
}

/** Who signed: a public Ed25519 key, canonical and not of small order. Source: SPEC §8, RFC 8032. */
export class Signer {
  readonly #text: string;

  private constructor(text: string) {
    this.#text = text;
  }

  /** Reads 64 lower-case hex digits. Rejects with `InvalidKey` for anything else, and for a key that is not valid. */
  static parse(text: string): Promise<Signer> {
    return run(() => new Signer(glue.parseSigner(textual(text))));
  }

  /** The name of this key in signed requests: its JWK thumbprint (RFC 7638), 43 characters of base64url. */
  get keyId(): string {
    return call(() => glue.keyId(this.#text));
  }

  /** The key in lower-case hex. */
  toString(): string {
    return this.#text;
  }

  /** The key in lower-case hex. */
  toJSON(): string {
    return this.#text;
  }

  /** True if it is the same key. */
  equals(other: Signer): boolean {
    return this.#text === other.#text;
  }

  static {
    makeSigner = (text) => new Signer(text);
  }
}
