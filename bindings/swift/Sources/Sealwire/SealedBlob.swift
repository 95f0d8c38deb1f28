import Foundation
import SealwireRaw

/// Where sealed bytes come from: a file, a server that answers `Range` requests.
public protocol RangeSource: Sendable {
    /// How many bytes there are.
    var length: UInt64 { get }
    /// The bytes of `range`; exactly as many. The package's own sources throw `Misuse` for what is not there.
    func read(_ range: Swift.Range<UInt64>) async throws -> Data
}

/// An envelope that is read at random: any range of the payload costs the chunks (16 KiB) that it touches.
///
/// What it gives is authenticated, for its place in this envelope, and so is the payload's length. It never knows who signed: a signature covers the
/// whole payload, so only a full read yields a signer. `expect` is still checked against what the header claims.
///
/// ```swift
/// let video = try await SealedBlob.open(FileSource(file), with: bob, context: context)
/// let first = try await video.read(0..<1024)
/// ```
public final class SealedBlob: Sendable {
    /// How many bytes the payload has.
    public let length: UInt64
    /// What the sealer said about the payload.
    public let about: About
    private let source: any RangeSource
    private let raw: SealwireRaw.RangeOpener

    private init(_ source: any RangeSource, _ raw: SealwireRaw.RangeOpener) {
        self.source = source
        self.raw = raw
        length = raw.len()
        about = About(raw.about())
    }

    /// Reads the header, unlocks it, and authenticates the payload's length. Throws what ``Sealwire/open(_:with:context:expect:part:)`` does for what
    /// concerns header, keys and the last chunk, and whatever the source throws.
    public static func open(
        _ source: any RangeSource,
        with keys: any Unlock,
        context: SealContext,
        expect: [Signer]? = nil,
        part: String = ""
    ) async throws -> SealedBlob {
        var front = try await source.read(0..<min(firstFront, source.length))
        while true {
            let known = front
            let wanted = try crossing { try SealwireRaw.frontLen(front: known) }
            let next = min(wanted ?? maxFront, source.length)
            // Enough, or too short: the next step says so.
            if next <= UInt64(front.count) { break }
            front = try await source.read(0..<next)
            if front.count <= known.count { break }
        }
        let start = try crossing { [front] in
            let opener = try rawOpener(keys, context, expect, part)
            return try SealwireRaw.RangeStart(front: try lent(front), sourceLen: source.length, opener: opener)
        }
        let range = try crossing { try start.sealed() }
        let sealed = try await source.read(range.start..<range.end)
        return SealedBlob(source, try crossing { try start.finish(sealed: try lent(sealed)) })
    }

    /// The payload's bytes in `range`, all verified. Throws `Misuse` if that is not within the payload; `Rejected` if a chunk was altered; `Truncated` if the
    /// source gives less than it said.
    public func read(_ range: Swift.Range<UInt64>) async throws -> Data {
        guard range.upperBound <= length else { throw SealwireError(.misuse, "misuse: a range that is not within the payload") }
        var bytes = Data()
        var start = range.lowerBound
        repeat {
            let end = min(range.upperBound, start + UInt64(pieceLength))
            let piece = SealwireRaw.Range(start: start, end: end)
            let wanted = try crossing { try raw.sealed(range: piece) }
            let sealed = try await source.read(wanted.start..<wanted.end)
            bytes.append(try crossing { try raw.open(range: piece, sealed: try lent(sealed)) })
            start = end
        } while start < range.upperBound
        return bytes
    }
}

/// Longer than most headers, so that one read mostly suffices.
private let firstFront: UInt64 = 16 * 1024
private let maxFront: UInt64 = 2 * 1024 * 1024 + 56

/// An envelope in a file that stays open.
public final class FileSource: RangeSource, @unchecked Sendable {
    public let length: UInt64
    private let lock = NSLock()
    private let file: FileHandle

    /// Takes the file as it is now; nobody else may move its offset.
    public init(_ file: FileHandle) throws {
        self.file = file
        length = try file.seekToEnd()
    }

    public func read(_ range: Swift.Range<UInt64>) async throws -> Data {
        try readNow(range)
    }

    private func readNow(_ range: Swift.Range<UInt64>) throws -> Data {
        try check(range, isWithin: length)
        lock.lock()
        defer { lock.unlock() }
        try file.seek(toOffset: range.lowerBound)
        var bytes = Data()
        while bytes.count < range.count, let piece = try file.read(upToCount: range.count - bytes.count), !piece.isEmpty {
            bytes.append(piece)
        }
        return bytes
    }
}

/// An envelope in memory.
public struct DataSource: RangeSource {
    private let bytes: Data

    public init(_ bytes: Data) {
        self.bytes = bytes
    }

    public var length: UInt64 { UInt64(bytes.count) }

    public func read(_ range: Swift.Range<UInt64>) async throws -> Data {
        try check(range, isWithin: length)
        return Data(bytes.dropFirst(Int(range.lowerBound)).prefix(range.count))
    }
}

private func check(_ range: Swift.Range<UInt64>, isWithin length: UInt64) throws {
    guard range.upperBound <= length else { throw SealwireError(.misuse, "misuse: a range that is not within the source") }
}
