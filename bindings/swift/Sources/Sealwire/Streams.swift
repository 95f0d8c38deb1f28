import Foundation
import SealwireRaw

/// How much goes into the library at a time: memory stays small, whatever the payload is.
let pieceLength = 1 << 20

/// Seals what another sequence gives, with at most 16 KiB held back between two pieces. Its pieces together are the envelope. Source: SPEC §7.
///
/// With the payload's exact `length` the envelope is padded, unless the options say otherwise, and more or fewer bytes are `Misuse`; without it the
/// envelope shows the payload's length. A sequence that fails, or is not read to its end, leaves an envelope without an end, which every reader refuses.
/// It throws what ``seal(_:to:context:options:)`` and the other sequence do.
///
/// ```swift
/// for try await piece in SealedSequence(pieces, to: bob, context: context) { try await upload(piece) }
/// ```
public struct SealedSequence<Base: AsyncSequence>: AsyncSequence where Base.Element == Data {
    public typealias Element = Data

    private let base: Base
    private let make: () throws -> SealwireRaw.SealStream

    public init(
        _ base: Base,
        to readers: any Readers,
        context: SealContext,
        options: SealOptions = SealOptions(),
        length: UInt64? = nil
    ) {
        self.base = base
        make = { try SealwireRaw.SealStream(sealer: try rawSealer(readers, context, options), len: length) }
    }

    public func makeAsyncIterator() -> Iterator {
        Iterator(base: base.makeAsyncIterator(), make: make)
    }

    public struct Iterator: AsyncIteratorProtocol {
        var base: Base.AsyncIterator
        let make: () throws -> SealwireRaw.SealStream
        var stream: SealwireRaw.SealStream?
        var isOver = false

        init(base: Base.AsyncIterator, make: @escaping () throws -> SealwireRaw.SealStream) {
            self.base = base
            self.make = make
        }

        public mutating func next() async throws -> Data? {
            if isOver { return nil }
            // Whatever throws below is the end.
            isOver = true
            let stream = try self.stream ?? crossing(make)
            self.stream = nil
            while true {
                try Task.checkCancellation()
                guard let piece = try await base.next() else {
                    let sealed = try crossing { try stream.finish() }
                    return sealed.isEmpty ? nil : sealed
                }
                let sealed = try crossing { try stream.push(plaintext: try lent(piece)) }
                if !sealed.isEmpty {
                    self.stream = stream
                    isOver = false
                    return sealed
                }
            }
        }
    }
}

/// What is known of a payload once everything was verified.
public struct Finished: Sendable, Hashable {
    /// Who signed the payload; without it nobody did, and anybody may have written it.
    public let signer: Signer?
    /// What the sealer said about it.
    public let about: About
}

/// Opens an envelope that another sequence gives in pieces. It is read once.
///
/// Plaintext comes out in authenticated chunks of 16 KiB, **before** the end was seen: treat it as provisional until ``finished`` says that the envelope was
/// complete, and who signed it. It throws what ``open(_:with:context:expect:part:)`` does, as soon as that is certain; an envelope that ends too early is
/// `Truncated`, or `Rejected` if it ends inside a chunk. Where a part must not be acted on, use that. Source: SPEC §11.
///
/// ```swift
/// let opening = OpenedSequence(pieces, with: bob, context: context, expect: [alice.signer])
/// for try await piece in opening { draft.append(piece) }
/// print("from \(try opening.finished.signer!)")
/// ```
public struct OpenedSequence<Base: AsyncSequence>: AsyncSequence where Base.Element == Data {
    public typealias Element = Data

    private let base: Base
    private let opening: Opening

    public init(
        _ base: Base,
        with keys: any Unlock,
        context: SealContext,
        expect: [Signer]? = nil,
        part: String = ""
    ) {
        self.base = base
        opening = Opening { SealwireRaw.OpenStream(opener: try rawOpener(keys, context, expect, part)) }
    }

    /// What the sealer said about the payload, as soon as the header was opened.
    public var about: About? { opening.about }

    /// That the envelope was complete, and who signed it. Before the end, and if it was not reached, it throws `Misuse`: do not use what came.
    public var finished: Finished {
        get throws { try opening.finished() }
    }

    public func makeAsyncIterator() -> Iterator {
        Iterator(base: base.makeAsyncIterator(), opening: opening)
    }

    public struct Iterator: AsyncIteratorProtocol {
        var base: Base.AsyncIterator
        let opening: Opening
        var stream: SealwireRaw.OpenStream?
        var isOver = false

        init(base: Base.AsyncIterator, opening: Opening) {
            self.base = base
            self.opening = opening
        }

        public mutating func next() async throws -> Data? {
            if isOver { return nil }
            // Whatever throws below is the end.
            isOver = true
            let stream = try self.stream ?? opening.begin()
            self.stream = nil
            while true {
                try Task.checkCancellation()
                guard let piece = try await base.next() else {
                    let rest = try opening.end(of: stream)
                    return rest.isEmpty ? nil : rest
                }
                let plaintext = try opening.push(piece, into: stream)
                if !plaintext.isEmpty {
                    self.stream = stream
                    isOver = false
                    return plaintext
                }
            }
        }
    }
}

/// What a sequence that opens has learned, for whoever holds the sequence.
final class Opening: @unchecked Sendable {
    private let lock = NSLock()
    private var make: (() throws -> SealwireRaw.OpenStream)?
    private var known: About?
    private var outcome: Finished?

    init(_ make: @escaping () throws -> SealwireRaw.OpenStream) {
        self.make = make
    }

    var about: About? {
        lock.lock()
        defer { lock.unlock() }
        return known
    }

    func finished() throws -> Finished {
        lock.lock()
        defer { lock.unlock() }
        guard let outcome else { throw SealwireError(.misuse, "misuse: the end has not been reached") }
        return outcome
    }

    func begin() throws -> SealwireRaw.OpenStream {
        lock.lock()
        defer { lock.unlock() }
        guard let make else { throw SealwireError(.misuse, "misuse: a sequence that opens is read once") }
        self.make = nil
        return try crossing(make)
    }

    func push(_ sealed: Data, into stream: SealwireRaw.OpenStream) throws -> Data {
        let plaintext = try crossing { try stream.push(sealed: try lent(sealed)) }
        lock.lock()
        defer { lock.unlock() }
        if known == nil { known = stream.about().map { About($0) } }
        return plaintext
    }

    func end(of stream: SealwireRaw.OpenStream) throws -> Data {
        let opened = Opened(try crossing { try stream.finish() })
        lock.lock()
        defer { lock.unlock() }
        known = opened.about
        outcome = Finished(signer: opened.signer, about: opened.about)
        return opened.plaintext
    }
}

extension AsyncSequence where Element == Data {
    /// See ``SealedSequence``.
    public func sealed(
        to readers: any Readers,
        context: SealContext,
        options: SealOptions = SealOptions(),
        length: UInt64? = nil
    ) -> SealedSequence<Self> {
        SealedSequence(self, to: readers, context: context, options: options, length: length)
    }

    /// See ``OpenedSequence``.
    public func opened(
        with keys: any Unlock,
        context: SealContext,
        expect: [Signer]? = nil,
        part: String = ""
    ) -> OpenedSequence<Self> {
        OpenedSequence(self, with: keys, context: context, expect: expect, part: part)
    }
}

extension FileHandle {
    /// The rest of the file, in pieces of at most 1 MiB, read when they are asked for.
    public var pieces: FilePieces { FilePieces(file: self) }

    /// Seals the rest of this file into `target`. Padded if `length`, which then has to be right, is said; see ``SealedSequence``. What was written before
    /// it threw is no envelope.
    public func seal(
        into target: FileHandle,
        to readers: any Readers,
        context: SealContext,
        options: SealOptions = SealOptions(),
        length: UInt64? = nil
    ) throws {
        let stream = try crossing { try SealwireRaw.SealStream(sealer: try rawSealer(readers, context, options), len: length) }
        while let piece = try nextPiece() {
            try target.write(contentsOf: try crossing { try stream.push(plaintext: piece) })
        }
        try target.write(contentsOf: try crossing { try stream.finish() })
    }

    /// Opens the rest of this file into `target`, which has to be a file: if the envelope turns out to be incomplete or altered, `target` is cut back to
    /// where it was. Throws what ``open(_:with:context:expect:part:)`` and the files do.
    public func open(
        into target: FileHandle,
        with keys: any Unlock,
        context: SealContext,
        expect: [Signer]? = nil,
        part: String = ""
    ) throws -> Finished {
        let stream = try crossing { SealwireRaw.OpenStream(opener: try rawOpener(keys, context, expect, part)) }
        let start = try target.offset()
        do {
            while let piece = try nextPiece() {
                try target.write(contentsOf: try crossing { try stream.push(sealed: piece) })
            }
            let opened = Opened(try crossing { try stream.finish() })
            try target.write(contentsOf: opened.plaintext)
            return Finished(signer: opened.signer, about: opened.about)
        } catch {
            try target.truncate(atOffset: start)
            throw error
        }
    }

    func nextPiece() throws -> Data? {
        guard let piece = try read(upToCount: pieceLength), !piece.isEmpty else { return nil }
        return piece
    }
}

/// A file's bytes, in pieces of at most 1 MiB.
public struct FilePieces: AsyncSequence {
    public typealias Element = Data

    let file: FileHandle

    public func makeAsyncIterator() -> Iterator {
        Iterator(file: file)
    }

    public struct Iterator: AsyncIteratorProtocol {
        let file: FileHandle

        public mutating func next() async throws -> Data? {
            try file.nextPiece()
        }
    }
}
