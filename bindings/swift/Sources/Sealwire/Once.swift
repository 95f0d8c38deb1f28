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

    /// The next piece; nothing at the end, and what throws is one, too: `Network`, if it does not come in so many seconds.
    func next(within seconds: TimeInterval? = nil) async throws -> Data? {
        try enter()
        let piece = await take(within: seconds)
        leave(piece)
        return try piece.get()
    }

    /// Looks ahead: whether there is nothing. What fails, or does not come in so many seconds, is thrown to who reads on.
    func isEmpty(within seconds: TimeInterval) async -> Bool {
        // Whoever else has the turn keeps it.
        guard (try? enter()) != nil else { return false }
        var piece = await take(within: seconds)
        while case .success(let empty?) = piece, empty.isEmpty { piece = await take(within: seconds) }
        leave(piece, isSeen: true)
        if case .success(.none) = piece { return true }
        return false
    }

    /// What was seen ahead, or comes next. Whoever asks has the turn.
    private func take(within seconds: TimeInterval?) async -> Result<Data?, any Error> {
        if let seen {
            self.seen = nil
            return seen
        }
        do {
            guard let seconds else { return .success(try await read()) }
            return .success(try await inTime(seconds) { [self] in try await read() })
        } catch {
            return .failure(error)
        }
    }

    private func enter() throws {
        lock.lock()
        defer { lock.unlock() }
        guard seen != nil || !isOver, !isReading else { throw SealwireError(.misuse, "misuse: a body has ended, or another task reads it") }
        isReading = true
    }

    private func leave(_ piece: Result<Data?, any Error>, isSeen: Bool = false) {
        lock.lock()
        defer { lock.unlock() }
        isReading = false
        if isSeen { seen = piece }
        if case .success(_?) = piece { return }
        isOver = true
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
