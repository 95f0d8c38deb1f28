import Foundation

/// Pieces that are read once, by one reader at a time; every other is told `Misuse`.
final class Once: @unchecked Sendable {
    private let read: () async throws -> Data?
    private let lock = NSLock()
    private var isBegun = false
    private var isReading = false
    private var isOver = false

    init(_ read: @escaping () async throws -> Data?) {
        self.read = read
    }

    /// Pieces that `step` makes of others, and of their end, which is nothing; `front` comes first.
    convenience init(front: Data, of read: @escaping () async throws -> Data?, step: @escaping (Data?) throws -> Data) {
        var (front, isEnded) = (front, false)
        self.init {
            while front.isEmpty {
                if isEnded { return nil }
                let piece = try await read()
                isEnded = piece == nil
                front = try step(piece)
            }
            defer { front = Data() }
            return front
        }
    }

    /// Whoever begins is the reader.
    func begin() throws {
        lock.lock()
        defer { lock.unlock() }
        guard !isBegun else { throw SealwireError(.misuse, "misuse: a body is read once") }
        isBegun = true
    }

    /// The next piece; nothing at the end, and what throws is one, too.
    func next() async throws -> Data? {
        try enter()
        var piece: Data?
        defer { leave(isOver: piece == nil) }
        piece = try await read()
        return piece
    }

    private func enter() throws {
        lock.lock()
        defer { lock.unlock() }
        guard !isOver, !isReading else { throw SealwireError(.misuse, "misuse: a body has ended, or another task reads it") }
        isReading = true
    }

    private func leave(isOver: Bool) {
        lock.lock()
        defer { lock.unlock() }
        isReading = false
        self.isOver = isOver
    }
}

/// The pieces of a body.
public struct PieceIterator: AsyncIteratorProtocol {
    let pieces: Once
    private var isBegun = false
    private var isOver = false

    init(_ pieces: Once) {
        self.pieces = pieces
    }

    public mutating func next() async throws -> Data? {
        if isOver { return nil }
        // Whatever throws below is the end.
        isOver = true
        if !isBegun { try pieces.begin() }
        isBegun = true
        let piece = try await pieces.next()
        isOver = piece == nil
        return piece
    }
}
