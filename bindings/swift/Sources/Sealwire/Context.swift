import Foundation
import SealwireRaw

/// What a payload is for: a namespace and fields, such as `"notes"` and the note's stable id.
///
/// The context is bound to the envelope and never sent: opening with another one is `Rejected`, so a server cannot serve the bytes of one row
/// as another. Choose a namespace and an id that never change; a URL changes with the domain.
///
/// Limits: namespace 1 to 128 bytes; at most 16 fields of at most 1024 bytes; both are checked when the context is used (`Misuse`). Text is
/// compared byte for byte, without Unicode normalisation. Source: SPEC §9.
///
/// ```swift
/// let note = SealContext("notes", "17")
/// let page = SealContext("wiki/page", 4, "history")
/// ```
public struct SealContext: Sendable, Hashable {
    /// One field. `"1"`, `1` and the byte `1` are three different ones.
    public enum Field: Sendable, Hashable {
        case text(String)
        case number(UInt64)
        case bytes(Data)
    }

    /// The namespace.
    public let namespace: String
    /// The fields; their order counts.
    public let fields: [Field]

    public init(_ namespace: String, _ id: String) {
        self.init(namespace, fields: [.text(id)])
    }

    public init(_ namespace: String, _ fields: Field...) {
        self.init(namespace, fields: fields)
    }

    public init(_ namespace: String, fields: [Field]) {
        self.namespace = namespace
        self.fields = fields
    }

    var raw: SealwireRaw.SealContext {
        SealwireRaw.SealContext(namespace: namespace, fields: fields.map(\.raw))
    }
}

extension SealContext.Field: ExpressibleByStringLiteral, ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral {
    public init(stringLiteral value: String) {
        self = .text(value)
    }

    public init(integerLiteral value: UInt64) {
        self = .number(value)
    }

    var raw: SealwireRaw.ContextField {
        switch self {
        case .text(let value): return .text(value: value)
        case .number(let value): return .number(value: value)
        case .bytes(let value): return .bytes(value: value)
        }
    }
}
