import Foundation
import Sealwire
import XCTest

/// A test's own failure, which no code of the package is.
struct Failure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// A sequence of these pieces.
struct Pieces: AsyncSequence {
    typealias Element = Data
    let pieces: [Data]
    /// Thrown in place of an end.
    var error: (any Error)?

    init(_ pieces: [Data], thenThrows error: (any Error)? = nil) {
        self.pieces = pieces
        self.error = error
    }

    init(_ whole: Data, by length: Int) {
        self.init(stride(from: 0, to: whole.count, by: length).map { Data(whole.dropFirst($0).prefix(length)) })
    }

    func makeAsyncIterator() -> Iterator {
        Iterator(pieces: pieces[...], error: error)
    }

    struct Iterator: AsyncIteratorProtocol {
        var pieces: ArraySlice<Data>
        let error: (any Error)?

        mutating func next() async throws -> Data? {
            if let piece = pieces.popFirst() { return piece }
            if let error { throw error }
            return nil
        }
    }
}

extension AsyncSequence where Element == Data {
    func whole() async throws -> Data {
        var whole = Data()
        for try await piece in self { whole.append(piece) }
        return whole
    }
}

func required<T>(_ value: T?) throws -> T {
    guard let value else { throw Failure("something is missing") }
    return value
}

func hex(_ bytes: Data) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

func unhex(_ text: String) -> Data {
    let digits = Array(text)
    return Data(stride(from: 0, to: digits.count - 1, by: 2).compactMap { UInt8(String(digits[$0...($0 + 1)]), radix: 16) })
}

/// The code that `body` fails with.
func code(_ body: () throws -> Void) -> SealwireError.Code? {
    do {
        try body()
        return nil
    } catch {
        return (error as? SealwireError)?.code
    }
}

func code(_ body: () async throws -> Void) async -> SealwireError.Code? {
    do {
        try await body()
        return nil
    } catch {
        return (error as? SealwireError)?.code
    }
}

/// Waits until somebody opens it.
final class Gate: @unchecked Sendable {
    private let (stream, continuation) = AsyncStream.makeStream(of: Void.self)

    func open() {
        continuation.finish()
    }

    func wait() async {
        for await _ in stream {}
    }
}

func temporaryFolder() throws -> URL {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    return folder
}

/// Bytes that are not all the same.
func payload(_ count: Int) -> Data {
    Data((0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) })
}

let note = SealContext("notes", "17")

struct People {
    let alice: Identity
    let bob: Identity
    let carol: Identity

    init() throws {
        alice = try Identity.generate()
        bob = try Identity.generate()
        carol = try Identity.generate(kem: .x25519)
    }
}
