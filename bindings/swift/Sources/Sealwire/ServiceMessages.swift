import Foundation
import SealwireRaw

/// One field line.
public struct HeaderField: Sendable, Hashable {
    public let name: String
    public let value: String

    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }

    init(_ raw: SealwireRaw.Field) {
        name = raw.name
        value = String(decoding: raw.value, as: UTF8.self)
    }

    var raw: SealwireRaw.Field {
        SealwireRaw.Field(name: name, value: Data(value.utf8))
    }
}

/// The body of a request or a response: bytes, or pieces that are read while they arrive or are made. Pieces are read once, by one task: every other reader
/// is told `Misuse`.
///
/// ```swift
/// let answer = ServiceResponse(status: 200, body: ServiceBody(try FileHandle(forReadingFrom: film).pieces))
/// ```
public struct ServiceBody: AsyncSequence, Sendable {
    public typealias Element = Data

    private enum Kind {
        case whole(Data)
        case pieces(Once)
    }

    private let kind: Kind

    public init(_ whole: Data = Data()) {
        kind = .whole(whole)
    }

    /// A sequence that throws leaves a body without an end: whoever reads it on the other side sees that it broke off.
    public init<Pieces: AsyncSequence>(_ pieces: Pieces) where Pieces.Element == Data {
        var iterator = pieces.makeAsyncIterator()
        self.init(Once { try await iterator.next() })
    }

    init(_ pieces: Once) {
        kind = .pieces(pieces)
    }

    public func makeAsyncIterator() -> PieceIterator {
        PieceIterator(pieces)
    }

    /// All of it. Throws `TooLarge` above `limit`, and what the pieces do.
    public func whole(upTo limit: Int = 64 << 20) async throws -> Data {
        var whole = Data()
        for try await piece in self {
            guard piece.count <= limit - whole.count else { throw SealwireError(.tooLarge, "too large: a body that is read as a whole") }
            whole.append(piece)
        }
        return whole
    }

    func isEmpty(within seconds: TimeInterval) async -> Bool {
        switch kind {
        case .whole(let whole): return whole.isEmpty
        case .pieces(let pieces): return await pieces.isEmpty(within: seconds)
        }
    }

    var pieces: Once {
        switch kind {
        case .whole(let whole): return Once(front: whole, of: { nil }, step: { _ in Data() })
        case .pieces(let pieces): return pieces
        }
    }
}

/// A request as a framework has it: `pathAndQuery` as it stands in the request line.
public struct ServiceRequest: Sendable {
    public var method: String
    public var pathAndQuery: String
    public var fields: [HeaderField]
    public var body: ServiceBody

    public init(method: String, pathAndQuery: String, fields: [HeaderField] = [], body: ServiceBody = ServiceBody()) {
        self.method = method
        self.pathAndQuery = pathAndQuery
        self.fields = fields
        self.body = body
    }

    public init(method: String, pathAndQuery: String, fields: [HeaderField] = [], body: Data) {
        self.init(method: method, pathAndQuery: pathAndQuery, fields: fields, body: ServiceBody(body))
    }

    init(_ raw: SealwireRaw.Request, _ body: ServiceBody) {
        self.init(method: raw.method, pathAndQuery: raw.pathAndQuery, fields: raw.fields.map { HeaderField($0) }, body: body)
    }
}

/// A response as a framework takes it.
public struct ServiceResponse: Sendable {
    public var status: Int
    public var fields: [HeaderField]
    public var body: ServiceBody

    public init(status: Int, fields: [HeaderField] = [], body: ServiceBody = ServiceBody()) {
        self.status = status
        self.fields = fields
        self.body = body
    }

    public init(status: Int, fields: [HeaderField] = [], body: Data) {
        self.init(status: status, fields: fields, body: ServiceBody(body))
    }

    init(_ raw: SealwireRaw.Message) {
        self.init(status: Int(raw.status), fields: raw.fields.map { HeaderField($0) }, body: raw.body)
    }

    /// A `vary` more, the others in the place of the app's own.
    func with(_ page: [SealwireRaw.Field]) -> ServiceResponse {
        var response = self
        for field in page.map({ HeaderField($0) }) {
            if field.name != "vary" { response.fields.removeAll { $0.name.lowercased() == field.name } }
            response.fields.append(field)
        }
        return response
    }
}
