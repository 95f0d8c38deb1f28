import Foundation
import SealwireRaw

/// A KEM: X-Wing (ML-KEM-768 with X25519, post-quantum) or X25519, which is not post-quantum.
public enum Kem: Sendable, Hashable {
    case xWing
    case x25519

    init(_ raw: SealwireRaw.Kem) {
        switch raw {
        case .xWing: self = .xWing
        case .x25519: self = .x25519
        }
    }

    var raw: SealwireRaw.Kem {
        switch self {
        case .xWing: return .xWing
        case .x25519: return .x25519
        }
    }
}

/// To whom something can be sealed: a KEM public key and a signing public key, which signs it.
///
/// Its text form begins `sealwire1` and can be pasted: 2118 characters for X-Wing, 223 for X25519. A recipient that exists has been checked:
/// both keys are valid, and the signing key has signed the KEM key. That is **no proof that one person holds both**, nor that it is the *person*
/// you mean: that is for you to check, with ``fingerprint`` or ``Pin``. Source: SPEC §10.
///
/// ```swift
/// let bob = try Recipient.parse(textThatBobPasted)
/// ```
public final class Recipient: Sendable, Hashable, CustomStringConvertible {
    let raw: SealwireRaw.Recipient

    init(_ raw: SealwireRaw.Recipient) {
        self.raw = raw
    }

    /// Reads the text form, `sealwire1…`, with nothing around it.
    ///
    /// Throws `InvalidKey` if a character was changed or lost, a key is not valid, or the signing key has not signed the KEM key; `TooLarge`
    /// above 4096 characters; `Unsupported` for another KEM.
    public static func parse(_ text: String) throws -> Recipient {
        try crossing { Recipient(try SealwireRaw.Recipient.parse(text: try lent(text))) }
    }

    /// Which KEM its content keys are agreed on with.
    public var kem: Kem { Kem(raw.kem()) }

    /// The public signing key, to be listed in `expect`.
    public var signer: Signer { Signer(text: raw.signer()) }

    /// SHA-256 over both public keys, for people to compare.
    public var fingerprint: Fingerprint { Fingerprint(bytes: raw.fingerprint(), description: raw.fingerprintText()) }

    /// The short form for configuration files and QR codes.
    public var pin: Pin { Pin(text: raw.pin()) }

    /// The text form.
    public var description: String { raw.description }

    /// True if both public keys are the same.
    public static func == (one: Recipient, other: Recipient) -> Bool {
        one.raw == other.raw
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(raw.fingerprint())
    }
}

/// SHA-256 over both public keys of a recipient. Source: SPEC §10.
public struct Fingerprint: Sendable, Hashable, CustomStringConvertible {
    /// All 32 bytes.
    public let bytes: Data
    /// The form for people to compare: 8 groups of 4 hex digits (its first 16 bytes).
    public let description: String
}

/// The whole fingerprint as text, `sealwire-pin1…`, 71 characters: names a recipient in a configuration file or a QR code.
///
/// A pin cannot be sealed to: fetch the full recipient from anywhere, and ``check(_:)`` it.
public struct Pin: Sendable, Hashable, CustomStringConvertible {
    let text: String

    /// Reads the text form, with nothing around it. Throws `InvalidKey` if a character was changed or lost.
    public static func parse(_ text: String) throws -> Pin {
        try crossing { Pin(text: try SealwireRaw.parsePin(text: try lent(text))) }
    }

    /// Throws `InvalidKey` if `recipient` is not the pinned one.
    public func check(_ recipient: Recipient) throws {
        try crossing { try SealwireRaw.checkPin(pin: text, recipient: recipient.raw) }
    }

    /// The text form.
    public var description: String { text }
}

/// Who signed: a public Ed25519 key, canonical and not of small order. Source: SPEC §8, RFC 8032.
public struct Signer: Sendable, Hashable, CustomStringConvertible {
    let text: String

    /// Reads 64 lower-case hex digits. Throws `InvalidKey` for anything else, and for a key that is not valid.
    public static func parse(_ text: String) throws -> Signer {
        try crossing { Signer(text: try SealwireRaw.parseSigner(text: try lent(text))) }
    }

    /// The name of this key in signed requests: its JWK thumbprint (RFC 7638), 43 characters of base64url.
    public var keyID: String {
        get throws { try crossing { try SealwireRaw.keyId(signer: text) } }
    }

    /// The key in lower-case hex.
    public var description: String { text }
}
