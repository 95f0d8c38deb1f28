import Foundation
import SealwireRaw

/// The AEAD of an envelope's body; every reader opens both.
public enum Aead: Sendable, Hashable {
    case aes256Gcm
    case chaCha20Poly1305

    init(_ raw: SealwireRaw.Aead) {
        switch raw {
        case .aes256Gcm: self = .aes256Gcm
        case .chaCha20Poly1305: self = .chaCha20Poly1305
        }
    }

    var raw: SealwireRaw.Aead {
        switch self {
        case .aes256Gcm: return .aes256Gcm
        case .chaCha20Poly1305: return .chaCha20Poly1305
        }
    }
}

/// A value of the public metadata: text or bytes of at most 4096 bytes, or an unsigned integer.
public enum MetadataValue: Sendable, Hashable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
    case text(String)
    case number(UInt64)
    case bytes(Data)

    public init(stringLiteral value: String) {
        self = .text(value)
    }

    public init(integerLiteral value: UInt64) {
        self = .number(value)
    }

    init(_ raw: SealwireRaw.MetadataValue) {
        switch raw {
        case .text(let value): self = .text(value)
        case .number(let value): self = .number(value)
        case .bytes(let value): self = .bytes(value)
        }
    }

    var raw: SealwireRaw.MetadataValue {
        switch self {
        case .text(let value): return .text(value: value)
        case .number(let value): return .number(value: value)
        case .bytes(let value): return .bytes(value: value)
        }
    }
}

/// One reader. A named recipient's slot carries a 4-byte hint, by which whoever knows their public keys, such as a server with a directory, can test
/// whether they are among the readers; an anonymous one leaves it out, and every reader with a key of that KEM tries the slot.
public enum Reader: Sendable {
    case recipient(Recipient)
    case anonymous(Recipient)
    case passphrase(Passphrase)
    case symmetric(SymmetricKey)
    case service(any KeyService)

    var raw: SealwireRaw.Reader {
        switch self {
        case .recipient(let recipient): return .recipient(recipient: recipient.raw)
        case .anonymous(let recipient): return .anonymous(recipient: recipient.raw)
        case .passphrase(let passphrase): return .passphrase(passphrase: passphrase.raw)
        case .symmetric(let key): return .symmetric(key: key.raw)
        case .service(let service): return .service(service: OutsideService(service))
        }
    }
}

/// The complete list of who can open an envelope: 1 to 1024 readers, of which at most 64 anonymous and 2 passphrases. A ``Recipient``, a ``Passphrase``,
/// a ``SymmetricKey``, a ``Reader``, and lists of them. Source: SPEC §4.
public protocol Readers {
    var readers: [Reader] { get }
}

extension Recipient: Readers {
    public var readers: [Reader] { [.recipient(self)] }
}

extension Passphrase: Readers {
    public var readers: [Reader] { [.passphrase(self)] }
}

extension SymmetricKey: Readers {
    public var readers: [Reader] { [.symmetric(self)] }
}

extension Reader: Readers {
    public var readers: [Reader] { [self] }
}

extension Array: Readers where Element: Readers {
    public var readers: [Reader] { flatMap(\.readers) }
}

/// What to seal with, beside the defaults.
public struct SealOptions: Sendable {
    /// Signs, so that readers can tell who wrote it. Without it anybody who knows a recipient may have written the envelope. The server sees neither
    /// signer nor signature; the named recipients are listed to the readers as the audience. Source: SPEC §8.
    public var sign: Identity?
    /// What anybody who holds the envelope may read, and nobody can change unnoticed. **It is not encrypted.** At most 64 entries, keys of 1 to 64 bytes.
    /// The key `version` is reserved for the version of the resource, an unsigned integer. Source: SPEC §2.
    public var metadata: [String: MetadataValue]
    /// When the payload was made, told to the readers only: seconds since 1970-01-01T00:00:00Z. It is the sealer's claim.
    public var created: UInt64?
    /// The payload's media type, told to the readers only; 1 to 255 bytes.
    public var contentType: String?
    /// A file name, told to the readers only; 1 to 255 bytes, a name and not a path.
    public var filename: String?
    /// The body's AEAD, if the one that is fast on this machine is not to be taken.
    public var aead: Aead?
    /// `false` leaves the padding out: the envelope then shows the payload's exact length.
    public var padded: Bool
    /// Names the body, to be named again to open it; at most 255 bytes.
    public var part: String
    /// Lets X25519 recipients stand beside X-Wing ones. One of them is enough for a quantum computer to open the whole envelope, so without this the mix
    /// is `Misuse`.
    public var allowClassical: Bool

    public init(
        sign: Identity? = nil,
        metadata: [String: MetadataValue] = [:],
        created: UInt64? = nil,
        contentType: String? = nil,
        filename: String? = nil,
        aead: Aead? = nil,
        padded: Bool = true,
        part: String = "",
        allowClassical: Bool = false
    ) {
        self.sign = sign
        self.metadata = metadata
        self.created = created
        self.contentType = contentType
        self.filename = filename
        self.aead = aead
        self.padded = padded
        self.part = part
        self.allowClassical = allowClassical
    }
}

/// What the sealer said about the payload; all of it authenticated with the envelope.
public struct About: Sendable, Hashable {
    /// The public metadata: the server saw it too.
    public let metadata: [String: MetadataValue]
    /// When it was made, by the sealer's clock: seconds since 1970-01-01T00:00:00Z.
    public let created: UInt64?
    /// The payload's media type.
    public let contentType: String?
    /// A file name; never a path.
    public let filename: String?
    /// Whether the sealer addressed it to the reader who opened it. A rewrap does not change it.
    public let addressedToMe: Addressed

    /// The version of the resource, from the metadata's reserved key `version`. Compare it with the last one that you saw: a server can serve an old
    /// envelope as new.
    public var version: UInt64? {
        if case .number(let version)? = metadata["version"] { return version }
        return nil
    }

    init(_ raw: SealwireRaw.About) {
        metadata = raw.metadata.mapValues { MetadataValue($0) }
        created = raw.created
        contentType = raw.contentType
        filename = raw.filename
        switch raw.addressedToMe {
        case .some(true): addressedToMe = .yes
        case .some(false): addressedToMe = .no
        case .none: addressedToMe = .unstated
        }
    }
}

/// Whether a payload was meant for who opened it.
public enum Addressed: Sendable, Hashable {
    /// Listed by name.
    case yes
    /// Others were, and this reader was not.
    case no
    /// Nobody was, or no recipient's key opened it.
    case unstated
}

/// An opened payload, and what is known of it. Everything was verified.
public struct Opened: Sendable, Hashable {
    /// The payload.
    public let plaintext: Data
    /// Who signed exactly this payload for exactly this context; without it nobody signed, and anybody may have written it.
    public let signer: Signer?
    /// What the sealer said about it.
    public let about: About

    /// The payload as text. Throws `Malformed` if it is not UTF-8.
    public func text() throws -> String {
        let text = String(decoding: plaintext, as: UTF8.self)
        guard text.utf8.elementsEqual(plaintext) else { throw SealwireError(.malformed, "malformed: the payload is not UTF-8") }
        return text
    }

    init(_ raw: SealwireRaw.Opened) {
        plaintext = raw.plaintext
        signer = raw.signer.map { Signer(text: $0) }
        about = About(raw.about)
    }
}

/// Seals `plaintext` to `readers`, for `context`.
///
/// The result is an envelope: only who is on the list can read it, nobody can change it unnoticed, and it opens only for the same context. It is padded,
/// and unsigned unless the options say otherwise: anybody who knows a recipient may have written it. It is 1.4 KB longer than the padded payload for one
/// X-Wing recipient, 0.3 KB for an X25519 one. Source: SPEC §1 to §7.
///
/// Throws `Misuse` if there is nobody to seal to, if X25519 and X-Wing recipients are mixed, or for a context over its limits; `TooLarge` for more
/// than 1024 recipients, and for 2 GiB in one piece.
///
/// ```swift
/// let context = SealContext("notes", "17")
/// let envelope = try seal(Data("hello Bob".utf8), to: bob, context: context, options: .init(sign: alice))
/// ```
public func seal(
    _ plaintext: Data,
    to readers: any Readers,
    context: SealContext,
    options: SealOptions = SealOptions()
) throws -> Data {
    try crossing { try rawSealer(readers, context, options).seal(plaintext: try lent(plaintext)) }
}

/// Opens `envelope` with `keys`, for `context`.
///
/// Nothing is returned before everything was verified. Unsigned envelopes and any signer are accepted, and said, unless `expect` lists who may have
/// signed. Source: SPEC §11.
///
/// Throws `NotRecipient` if no key opens it (also for a wrong passphrase, and an altered header); `Rejected` if it was altered, belongs to another
/// context or part, or was signed by another; `Truncated`, `Malformed`, `Unsupported` or `TooLarge` if the bytes are no acceptable envelope.
///
/// ```swift
/// let opened = try open(envelope, with: bob, context: SealContext("notes", "17"), expect: [alice.signer])
/// print(try opened.text())
/// ```
public func open(
    _ envelope: Data,
    with keys: any Unlock,
    context: SealContext,
    expect: [Signer]? = nil,
    part: String = ""
) throws -> Opened {
    try crossing { Opened(try rawOpener(keys, context, expect, part).open(envelope: try lent(envelope))) }
}

/// Changes who can open an envelope, without touching its payload: `readers` is the complete new list.
///
/// It does **not** revoke: a removed reader may have kept the key. ``reseal(_:with:context:to:options:expect:)`` does, for what is written from then on.
/// Before anything is given away the envelope is verified under `context`, so that a server cannot have another row's envelope rewrapped to the wrong
/// people. Throws what ``open(_:with:context:expect:part:)`` and ``seal(_:to:context:options:)`` do; the body's chunks are not looked at. Source: SPEC §12.
public func rewrap(
    _ envelope: Data,
    with keys: any Unlock,
    context: SealContext,
    to readers: any Readers,
    allowClassical: Bool = false,
    expect: [Signer]? = nil,
    part: String = ""
) throws -> Data {
    try crossing {
        let opener = try rawOpener(keys, context, expect, part)
        return try opener.rewrap(envelope: try lent(envelope), readers: try rawReaders(readers, allowClassical))
    }
}

/// Opens an envelope and seals its payload anew, under a new key: the only revocation there is, for what is written from then on.
///
/// Metadata, creation time, content type, file name, AEAD and padding are taken over where the options do not say something else; `part` is that of
/// both. An envelope that is signed needs `sign`, else `Misuse`. Throws what ``open(_:with:context:expect:part:)`` and ``seal(_:to:context:options:)``
/// do. Source: SPEC §12.
public func reseal(
    _ envelope: Data,
    with keys: any Unlock,
    context: SealContext,
    to readers: any Readers,
    options: SealOptions = SealOptions(),
    expect: [Signer]? = nil
) throws -> Data {
    try crossing {
        let opener = try rawOpener(keys, context, expect, options.part)
        return try rawSealer(readers, context, options).reseal(envelope: try lent(envelope), opener: opener)
    }
}

func rawReaders(_ readers: any Readers, _ allowClassical: Bool) throws -> SealwireRaw.Readers {
    try SealwireRaw.Readers(readers: readers.readers.map(\.raw), allowClassical: allowClassical)
}

func rawSealer(_ readers: any Readers, _ context: SealContext, _ options: SealOptions) throws -> SealwireRaw.Sealer {
    let raw = SealwireRaw.SealOptions(
        sign: options.sign?.raw,
        metadata: options.metadata.mapValues(\.raw),
        created: options.created,
        contentType: options.contentType,
        filename: options.filename,
        aead: options.aead?.raw,
        padded: options.padded,
        part: options.part
    )
    return SealwireRaw.Sealer(context: context.raw, readers: try rawReaders(readers, options.allowClassical), options: raw)
}

func rawOpener(_ keys: any Unlock, _ context: SealContext, _ expect: [Signer]?, _ part: String) throws -> SealwireRaw.Opener {
    let signers = expect.map { $0.map(\.text) }
    return try SealwireRaw.Opener(keys: try rawKeyring(keys), context: context.raw, expect: signers, part: part)
}
