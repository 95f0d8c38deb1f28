import Foundation
import SealwireRaw

/// The one error of this package.
///
/// Programs ask for ``code``, which never changes its meaning; the text is a fixed sentence without any input data, safe to log.
///
/// ```swift
/// do {
///     note = try open(envelope, with: bob, context: context)
/// } catch let error as SealwireError where error.code == .notRecipient {
///     print("not for us")
/// }
/// ```
public struct SealwireError: Error, Sendable, Hashable, CustomStringConvertible, LocalizedError {
    /// What can go wrong. The codes up to ``store`` are the same in every language (SPEC §15).
    public enum Code: String, Sendable, CaseIterable {
        /// Bytes that are not what they should be.
        case malformed = "Malformed"
        /// What this version does not know.
        case unsupported = "Unsupported"
        /// A key that is not one, or not the pinned one.
        case invalidKey = "InvalidKey"
        /// No key opens it: also a wrong passphrase, and an altered header.
        case notRecipient = "NotRecipient"
        /// It was altered, belongs to another context, or was signed by somebody else.
        case rejected = "Rejected"
        /// It ends too early.
        case truncated = "Truncated"
        /// Above a limit.
        case tooLarge = "TooLarge"
        /// A call that cannot be right, and every use of what is used up.
        case misuse = "Misuse"
        /// It came before.
        case replayed = "Replayed"
        /// Too old, or too early.
        case expired = "Expired"
        /// An answer without the protection that was demanded.
        case unsealed = "Unsealed"
        /// The network failed.
        case network = "Network"
        /// A store, a key service or another callback failed.
        case store = "Store"
        /// The library itself failed: a bug.
        case `internal` = "internal"
    }

    /// What went wrong, for programs.
    public let code: Code
    /// What went wrong, for logs.
    public let text: String
    /// With ``Code/unsealed``: the outer HTTP status of the answer, which is unprotected itself.
    public let status: Int?

    /// An error of your own store or key service: its code is kept, its text is not.
    public init(_ code: Code, _ text: String = "", status: Int? = nil) {
        self.code = code
        self.text = text
        self.status = status
    }

    public var description: String {
        text.isEmpty ? code.rawValue : text
    }

    public var errorDescription: String? {
        description
    }
}

extension SealwireError {
    init(_ failure: SealwireRaw.Failure) {
        switch failure {
        case .Malformed(let text): self.init(.malformed, text)
        case .Unsupported(let text): self.init(.unsupported, text)
        case .InvalidKey(let text): self.init(.invalidKey, text)
        case .NotRecipient(let text): self.init(.notRecipient, text)
        case .Rejected(let text): self.init(.rejected, text)
        case .Truncated(let text): self.init(.truncated, text)
        case .TooLarge(let text): self.init(.tooLarge, text)
        case .Misuse(let text): self.init(.misuse, text)
        case .Replayed(let text): self.init(.replayed, text)
        case .Expired(let text): self.init(.expired, text)
        case .Network(let text): self.init(.network, text)
        case .Store(let text): self.init(.store, text)
        case .Unsealed(let text, let status): self.init(.unsealed, text, status: Int(status))
        }
    }

    /// What Rust is told of a callback's error.
    var failure: SealwireRaw.Failure {
        switch code {
        case .malformed: return .Malformed(text: text)
        case .unsupported: return .Unsupported(text: text)
        case .invalidKey: return .InvalidKey(text: text)
        case .notRecipient: return .NotRecipient(text: text)
        case .rejected: return .Rejected(text: text)
        case .truncated: return .Truncated(text: text)
        case .tooLarge: return .TooLarge(text: text)
        case .misuse: return .Misuse(text: text)
        case .replayed: return .Replayed(text: text)
        case .expired: return .Expired(text: text)
        case .network: return .Network(text: text)
        case .store, .internal: return .Store(text: text)
        case .unsealed: return .Unsealed(text: text, status: UInt16(clamping: status ?? 0))
        }
    }
}

/// Crosses into the library.
func crossing<T>(_ body: () throws -> T) throws -> T {
    do {
        return try body()
    } catch let failure as SealwireRaw.Failure {
        throw SealwireError(failure)
    } catch let error as SealwireError {
        throw error
    } catch {
        throw SealwireError(.internal, "internal: the library failed")
    }
}

/// Crosses back out of it, into what the app wrote.
func outside<T>(_ body: () throws -> T) throws -> T {
    do {
        return try body()
    } catch let error as SealwireError {
        throw error.failure
    } catch {
        throw SealwireRaw.Failure.Store(text: "storage failed: a callback")
    }
}

/// The boundary counts with 31 bits.
func lent(_ bytes: Data) throws -> Data {
    guard bytes.count <= Int(Int32.max) - 8 else { throw SealwireError(.tooLarge, "too large: 2 GiB in one piece: use a stream") }
    return bytes
}

func lent(_ text: String) throws -> String {
    guard text.utf8.count <= Int(Int32.max) - 8 else { throw SealwireError(.tooLarge, "too large: a text of 2 GiB") }
    return text
}

/// The seconds of the system's clock.
func now() -> UInt64 {
    UInt64(max(0, Date().timeIntervalSince1970))
}
