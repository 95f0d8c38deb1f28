import Foundation
import SealwireRaw

/// Bytes as base64url without padding: for JSON, headers and chat messages. Throws `TooLarge` for 2 GiB. Source: SPEC §13.
public func toText(_ envelope: Data) throws -> String {
    try crossing { SealwireRaw.toText(bytes: try lent(envelope)) }
}

/// Reads base64url without padding. Throws `Malformed` for any other character (white space and `=` too), and for trailing bits that are not zero.
public func fromText(_ text: String) throws -> Data {
    try crossing { try SealwireRaw.fromText(text: try lent(text)) }
}

/// Cuts an envelope into header and body, to be stored apart: a row in a database, an object in a store. Throws what ``inspect(_:)`` does.
public func split(_ envelope: Data) throws -> (header: Data, body: Data) {
    let front = try lent(envelope)
    let length = try crossing { try SealwireRaw.headerLen(front: front) }
    guard let length, length <= UInt64(front.count) else { throw SealwireError(.truncated, "truncated") }
    return (Data(front.prefix(Int(length))), Data(front.dropFirst(Int(length))))
}

/// Puts a header and a body together again. Nothing is checked: opening does that.
public func join(header: Data, body: Data) -> Data {
    header + body
}

/// Opens an envelope whose header and body are stored apart; see ``open(_:with:context:expect:part:)``.
public func openDetached(
    header: Data,
    body: Data,
    with keys: any Unlock,
    context: SealContext,
    expect: [Signer]? = nil,
    part: String = ""
) throws -> Opened {
    try crossing {
        let opener = try rawOpener(keys, context, expect, part)
        return Opened(try opener.openDetached(header: try lent(header), body: try lent(body)))
    }
}

/// Changes who can open, with the header alone and the first 56 bytes of the body: the new header, which takes the old one's place. See
/// ``rewrap(_:with:context:to:allowClassical:expect:part:)``.
public func rewrapHeader(
    _ header: Data,
    bodyFront: Data,
    with keys: any Unlock,
    context: SealContext,
    to readers: any Readers,
    allowClassical: Bool = false,
    expect: [Signer]? = nil,
    part: String = ""
) throws -> Data {
    try crossing {
        let opener = try rawOpener(keys, context, expect, part)
        let readers = try rawReaders(readers, allowClassical)
        return try opener.rewrapHeader(header: try lent(header), bodyFront: try lent(bodyFront), readers: readers)
    }
}

/// One of several payloads under one header.
public struct Part: Sendable, Hashable {
    public let name: String
    public let payload: Data

    public init(_ name: String, _ payload: Data) {
        self.name = name
        self.payload = payload
    }
}

/// Several payloads under one header: a document and its attachments, a file's versions.
public struct SealedParts: Sendable, Hashable {
    public let header: Data
    /// In the order of the parts.
    public let bodies: [Data]
}

/// Seals several payloads under one header; each opens by ``openDetached(header:body:with:context:expect:part:)`` with its name. Throws what
/// ``seal(_:to:context:options:)`` does, and `Misuse` for two parts of one name.
public func sealParts(
    _ parts: [Part],
    to readers: any Readers,
    context: SealContext,
    options: SealOptions = SealOptions()
) throws -> SealedParts {
    try crossing {
        let raw = try parts.map { SealwireRaw.Part(name: $0.name, payload: try lent($0.payload)) }
        guard raw.reduce(0, { $0 + $1.payload.count }) <= Int(Int32.max) / 2 else {
            throw SealwireError(.tooLarge, "too large: parts of 1 GiB together")
        }
        let sealed = try rawSealer(readers, context, options).sealParts(parts: raw)
        return SealedParts(header: sealed.header, bodies: sealed.bodies)
    }
}

/// The front of an envelope. **Nothing in it is verified**: it is what a stranger claims. Source: SPEC §1, §2.
public struct EnvelopeHeader: Sendable, Hashable {
    /// How many bytes the header takes; the body follows.
    public let length: Int
    /// The envelope id (32 bytes).
    public let unverifiedID: Data
    /// The AEAD of the body.
    public let unverifiedAead: Aead
    /// Whether the body is padded.
    public let unverifiedPadded: Bool
    /// How many bytes the private block takes, encrypted, if there is one.
    public let unverifiedPrivateBlockLength: Int?
    /// The public metadata.
    public let unverifiedMetadata: [String: MetadataValue]
    /// The slots, in their order.
    public let unverifiedSlots: [Slot]

    /// One slot. To unlock it elsewhere run its operation with ``binding``, and make a ``ContentKey`` of what it gives.
    public struct Slot: Sendable, Hashable {
        public let kind: Kind
        /// HPKE's `info`, or a key service's associated data.
        public let binding: Data
    }

    /// How a slot is locked.
    public enum Kind: Sendable, Hashable {
        /// `hint` is 4 bytes; an anonymous slot has none.
        case hpke(kem: Kem, hint: Data?, enc: Data, ct: Data)
        case passphrase(salt: Data, costs: Argon2Costs, ct: Data)
        case symmetric(salt: Data, keyID: Data, ct: Data)
        case external(service: String, ct: Data)
        case unknown
    }
}

/// Reads the header at the front of `envelope`, without any key: who needs no key to see what. Throws `Malformed`, `Unsupported`, `Truncated` or `TooLarge`
/// (a header above 2 MiB), as SPEC §1 to §4 say.
public func inspect(_ envelope: Data) throws -> EnvelopeHeader {
    let raw = try crossing { try SealwireRaw.inspect(envelope: try lent(envelope)) }
    return EnvelopeHeader(
        length: Int(raw.headerLen),
        unverifiedID: raw.unverifiedId,
        unverifiedAead: Aead(raw.unverifiedAead),
        unverifiedPadded: raw.unverifiedPadded,
        unverifiedPrivateBlockLength: raw.unverifiedPrivateBlockLen.map { Int($0) },
        unverifiedMetadata: raw.unverifiedMetadata.mapValues { MetadataValue($0) },
        unverifiedSlots: raw.unverifiedSlots.map { EnvelopeHeader.Slot(kind: EnvelopeHeader.Kind($0.kind), binding: $0.binding) }
    )
}

extension EnvelopeHeader.Kind {
    init(_ raw: SealwireRaw.Locked) {
        switch raw {
        case .hpke(let kem, let hint, let enc, let ct):
            self = .hpke(kem: Kem(kem), hint: hint, enc: enc, ct: ct)
        case .passphrase(let salt, let memory, let passes, let lanes, let ct):
            self = .passphrase(salt: salt, costs: Argon2Costs(memory: memory, passes: passes, lanes: lanes), ct: ct)
        case .symmetric(let salt, let keyId, let ct):
            self = .symmetric(salt: salt, keyID: keyId, ct: ct)
        case .external(let service, let ct):
            self = .external(service: service, ct: ct)
        case .unknown:
            self = .unknown
        }
    }
}
