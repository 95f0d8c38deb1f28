import Foundation
import SealwireRaw

/// The private keys of a person, a device or a service: one KEM key pair and one signing key pair.
///
/// They live in the library's memory: nothing that prints, mirrors or archives an identity shows them, and they are wiped when the last
/// reference goes. The public half, to be given to everybody, is ``recipient``. Source: SPEC §10.
///
/// ```swift
/// let alice = try Identity.generate()
/// print("send me things: \(alice.recipient)")
/// ```
public final class Identity: Sendable {
    let raw: SealwireRaw.Identity

    init(_ raw: SealwireRaw.Identity) {
        self.raw = raw
    }

    /// A new identity. X25519 has recipients of 223 characters instead of 2118, and is **not** post-quantum. Throws `Unsupported` if the system
    /// gives no randomness.
    public static func generate(kem: Kem = .xWing) throws -> Identity {
        try crossing { Identity(try SealwireRaw.Identity.generate(kem: kem.raw)) }
    }

    /// Reads the secret text form, `sealwire-identity1…`. Throws `InvalidKey` if a character is wrong or the length, and `Unsupported` for another
    /// KEM. Swift cannot wipe a string: where it matters, keep identities in a ``SecretStore``.
    public static func parse(_ text: String) throws -> Identity {
        try crossing { Identity(try SealwireRaw.Identity.parse(text: try lent(text))) }
    }

    /// Reads an identity file: one text form per line; empty lines and lines with `#` in front are skipped. Throws `TooLarge` above 64 KiB or 64
    /// identities, `Malformed` if there is none, and what ``parse(_:)`` does.
    public static func parseFile(_ text: String) throws -> [Identity] {
        try crossing { try SealwireRaw.parseIdentityFile(text: try lent(text)).map { Identity($0) } }
    }

    /// The identity that was saved under `name`, or nothing. Throws what the store does, and `InvalidKey` or `Unsupported` if something else is there.
    public static func load(from store: any SecretStore, name: String) throws -> Identity? {
        try crossing { try SealwireRaw.loadIdentity(store: rawStore(store), name: name).map { Identity($0) } }
    }

    /// Keeps it under `name`.
    public func save(in store: any SecretStore, name: String) throws {
        try crossing { try raw.save(store: rawStore(store), name: name) }
    }

    /// The public half.
    public var recipient: Recipient { Recipient(raw.recipient()) }

    /// The public signing key: what readers list in `expect`.
    public var signer: Signer { Signer(text: raw.signer()) }

    /// The secret text form as ASCII: keep it secret, and overwrite it (`resetBytes(in:)`) when it was used.
    public func reveal() -> Data {
        raw.reveal()
    }
}

/// A passphrase: 1 to 1024 bytes of UTF-8, taken as they are, without Unicode normalisation. Sealing and opening run Argon2id with 64 MiB, 3 passes
/// and 4 lanes (RFC 9106 §4, second recommendation). Source: SPEC §4.
public final class Passphrase: Sendable {
    let raw: SealwireRaw.Passphrase

    /// `costs` are other costs to *seal* with; less than the default makes guessing cheaper for a thief of the envelope. Throws `Misuse` for a length
    /// outside the limits, `TooLarge` for costs above one and `Malformed` for costs below.
    public init(_ text: String, costs: Argon2Costs? = nil) throws {
        raw = try crossing { try SealwireRaw.Passphrase(text: try lent(text), costs: costs?.raw) }
    }
}

/// Argon2id costs: `memory` in KiB (8 × lanes to 262144), `passes` (1 to 10), `lanes` (1 to 8).
public struct Argon2Costs: Sendable, Hashable {
    public let memory: UInt32
    public let passes: UInt32
    public let lanes: UInt32

    public init(memory: UInt32, passes: UInt32, lanes: UInt32) {
        self.memory = memory
        self.passes = passes
        self.lanes = lanes
    }

    var raw: SealwireRaw.Argon2Costs {
        SealwireRaw.Argon2Costs(memory: memory, passes: passes, lanes: lanes)
    }
}

/// A 32-byte key that both sides hold: a backup key, a group's epoch. Post-quantum by nature. Source: SPEC §4.
public final class SymmetricKey: Sendable {
    let raw: SealwireRaw.SymmetricKey

    init(_ raw: SealwireRaw.SymmetricKey) {
        self.raw = raw
    }

    /// A new random key. Throws `Unsupported` if the system gives no randomness.
    public static func generate() throws -> SymmetricKey {
        try crossing { SymmetricKey(try SealwireRaw.SymmetricKey.generate()) }
    }

    /// Takes 32 uniformly random bytes; overwrite your own copy. A password is not a key: see ``Passphrase``. Throws `InvalidKey` for another length.
    public init(bytes: Data) throws {
        raw = try crossing { try SealwireRaw.SymmetricKey.fromBytes(bytes: try lent(bytes)) }
    }

    /// The opaque id (8 bytes) that stands in the slots under this key. It says nothing of the key, and is the same in each.
    public var id: Data { raw.id() }

    /// The key's 32 bytes: keep them secret, and overwrite them (`resetBytes(in:)`) when they were used.
    public func reveal() -> Data {
        raw.reveal()
    }
}

/// The content key of one envelope, from a slot that was unlocked elsewhere: on a smart card, by a service across the network.
///
/// ``inspect(_:)`` shows the slots, each with what its operation has to be bound to. Source: SPEC §11.
public final class ContentKey: Sendable {
    let raw: SealwireRaw.ContentKey

    /// `candidate` is the 32 bytes that a slot of this header gave; overwrite your own copy. Throws `NotRecipient` if it is not this envelope's.
    public init(envelope: Data, candidate: Data) throws {
        raw = try crossing { try SealwireRaw.ContentKey(envelope: try lent(envelope), candidate: try lent(candidate)) }
    }
}

/// A service that wraps content keys: a KMS, an HSM. It is called while the call waits.
///
/// Errors that are a ``SealwireError`` keep their code; all others become `Store`.
public protocol KeyService: Sendable {
    /// Its name, which stands in envelopes **in clear**.
    var service: String { get }
    /// Wraps 32 bytes, bound to `binding`.
    func wrap(_ contentKey: Data, binding: Data) throws -> Data
    /// The 32 bytes; nothing if it is not this service's.
    func unwrap(_ wrapped: Data, binding: Data) throws -> Data?
}

/// One key that may open.
public enum UnlockKey: Sendable {
    case identity(Identity)
    case passphrase(Passphrase)
    case symmetric(SymmetricKey)
    case content(ContentKey)
    case service(any KeyService)

    var raw: SealwireRaw.Key {
        switch self {
        case .identity(let identity): return .identity(identity: identity.raw)
        case .passphrase(let passphrase): return .passphrase(passphrase: passphrase.raw)
        case .symmetric(let key): return .symmetric(key: key.raw)
        case .content(let key): return .content(key: key.raw)
        case .service(let service): return .service(service: OutsideService(service))
        }
    }
}

/// Keys that may open an envelope: an ``Identity``, a ``Passphrase``, a ``SymmetricKey``, a ``ContentKey``, a ``Keyring``.
public protocol Unlock {
    var unlockKeys: [UnlockKey] { get }
}

/// Several keys at once: an identity and the ones it replaced, or an identity and a recovery passphrase.
///
/// Each slot is tried with every key, in their order, until one opens it. The limits of an open hold for all keys together: 128 KEM operations and 4
/// runs of Argon2, so that of several passphrases the likely ones belong in front. A key beyond its limit is left out; if no other opens, the answer is
/// `TooLarge`. Source: SPEC §11.
///
/// ```swift
/// let opened = try open(envelope, with: Keyring(newIdentity, oldIdentity), context: context)
/// ```
public struct Keyring: Unlock, Sendable {
    public let unlockKeys: [UnlockKey]

    public init(_ keys: any Unlock...) {
        unlockKeys = keys.flatMap(\.unlockKeys)
    }

    public init(_ keys: [any Unlock]) {
        unlockKeys = keys.flatMap(\.unlockKeys)
    }
}

extension Identity: Unlock {
    public var unlockKeys: [UnlockKey] { [.identity(self)] }
}

extension Passphrase: Unlock {
    public var unlockKeys: [UnlockKey] { [.passphrase(self)] }
}

extension SymmetricKey: Unlock {
    public var unlockKeys: [UnlockKey] { [.symmetric(self)] }
}

extension ContentKey: Unlock {
    public var unlockKeys: [UnlockKey] { [.content(self)] }
}

extension UnlockKey: Unlock {
    public var unlockKeys: [UnlockKey] { [self] }
}

func rawKeyring(_ keys: any Unlock) throws -> SealwireRaw.Keyring {
    try SealwireRaw.Keyring(keys: keys.unlockKeys.map(\.raw))
}

/// A service of the app's, to Rust.
final class OutsideService: SealwireRaw.KeyService {
    private let inner: any KeyService

    init(_ inner: any KeyService) {
        self.inner = inner
    }

    func service() throws -> String {
        inner.service
    }

    func wrapKey(contentKey: Data, binding: Data) throws -> Data {
        try outside { try inner.wrap(contentKey, binding: binding) }
    }

    func unwrapKey(wrapped: Data, binding: Data) throws -> Data? {
        try outside { try inner.unwrap(wrapped, binding: binding) }
    }
}
