import Foundation

/// Pieces that are read once, by one reader at a time; every other is told `Misuse`.
final class Once: @unchecked Sendable {
    private let read: () async throws -> Data?
    private let lock = NSLock()
    private var seen: Result<Data?, any Error>?
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
        if let seen = try enter() { return try seen.get() }
        var piece: Data?
        defer { leave(isOver: piece == nil) }
        piece = try await read()
        return piece
    }

    /// The next piece, or `Network` if it does not come in so many seconds: then none comes any more.
    func next(within seconds: TimeInterval) async throws -> Data? {
        do {
            return try await inTime(seconds) { try await self.next() }
        } catch {
            leave(isOver: true)
            throw error
        }
    }

    /// Looks ahead: whether there is nothing. What fails, or does not come in so many seconds, is thrown to who reads on.
    func isEmpty(within seconds: TimeInterval) async -> Bool {
        do {
            var piece = try await next(within: seconds)
            while let empty = piece, empty.isEmpty { piece = try await next(within: seconds) }
            see(.success(piece))
            return piece == nil
        } catch {
            see(.failure(error))
            return false
        }
    }

    /// What was seen ahead, or the turn to read.
    private func enter() throws -> Result<Data?, any Error>? {
        lock.lock()
        defer { lock.unlock() }
        if let seen {
            self.seen = nil
            return seen
        }
        guard !isOver, !isReading else { throw SealwireError(.misuse, "misuse: a body has ended, or another task reads it") }
        isReading = true
        return nil
    }

    private func leave(isOver: Bool) {
        lock.lock()
        defer { lock.unlock() }
        isReading = false
        if isOver { self.isOver = true }
    }

    private func see(_ piece: Result<Data?, any Error>) {
        lock.lock()
        defer { lock.unlock() }
        seen = piece
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

let tooSlow = SealwireError(.network, "network failed: a body was too slow")

/// What comes of `work` in so many seconds. What does not is cancelled, and not waited for: it need not listen.
private func inTime(_ seconds: TimeInterval, _ work: @escaping @Sendable () async throws -> Data?) async throws -> Data? {
    let race = Race()
    let working = Task {
        do {
            race.end(.success(try await work()))
        } catch {
            race.end(.failure(error))
        }
    }
    let timer = Task {
        try await Task.sleep(nanoseconds: UInt64(max(0, seconds) * 1e9))
        race.end(.failure(tooSlow))
    }
    defer {
        working.cancel()
        timer.cancel()
    }
    return try await withTaskCancellationHandler {
        try await withCheckedThrowingContinuation { race.wait($0) }
    } onCancel: {
        race.end(.failure(CancellationError()))
    }
}

/// The first end counts.
private final class Race: @unchecked Sendable {
    private let lock = NSLock()
    private var ended: Result<Data?, any Error>?
    private var waiting: CheckedContinuation<Data?, any Error>?

    func wait(_ continuation: CheckedContinuation<Data?, any Error>) {
        lock.lock()
        let ended = self.ended
        if ended == nil { waiting = continuation }
        lock.unlock()
        if let ended { continuation.resume(with: ended) }
    }

    func end(_ result: Result<Data?, any Error>) {
        lock.lock()
        let waiting = self.waiting
        self.waiting = nil
        if ended == nil { ended = result }
        lock.unlock()
        waiting?.resume(with: result)
    }
}
