import Foundation
import Sealwire
import XCTest

final class StreamTests: XCTestCase {
    func testStreamsOfEverySize() async throws {
        let people = try People()
        for size in [0, 1, 16_383, 16_384, 16_385, 100_000, 1_500_000] {
            let plain = payload(size)
            for piece in [777, 65_536] {
                let sealing = Pieces(plain, by: piece).sealed(to: people.bob.recipient, context: note, options: .init(sign: people.alice), length: UInt64(size))
                let envelope = try await sealing.whole()
                let opening = Pieces(envelope, by: piece).opened(with: people.bob, context: note, expect: [people.alice.signer])
                XCTAssertNil(opening.about)
                let whole = try await opening.whole()
                XCTAssertEqual(whole, plain)
                XCTAssertEqual(try opening.finished.signer, people.alice.signer)
                XCTAssertEqual(opening.about, try opening.finished.about)
                XCTAssertEqual(try open(envelope, with: people.bob, context: note).plaintext, plain)
            }
        }
    }

    func testAStreamsLengthHasToBeRight() async throws {
        let bob = try Identity.generate(kem: .x25519)
        for length in [9, 11] as [UInt64] {
            let got = await code { _ = try await Pieces([payload(10)]).sealed(to: bob.recipient, context: note, length: length).whole() }
            XCTAssertEqual(got, .misuse)
        }
    }

    func testInterruptedStreams() async throws {
        struct Broken: Error {}
        let bob = try Identity.generate(kem: .x25519)
        let envelope = try seal(payload(100_000), to: bob.recipient, context: note)
        // Cut at the end of a chunk, inside one, and by an error of the source.
        let length = try inspect(envelope).length
        for (cut, expected) in [(3, .truncated), (length, .truncated), (length + 56 + 16_400, .truncated), (length + 5_000, .rejected)] as [(Int, SealwireError.Code)] {
            let opening = Pieces([envelope.prefix(cut)]).opened(with: bob, context: note)
            let got = await code { _ = try await opening.whole() }
            XCTAssertEqual(got, expected, "\(cut)")
            XCTAssertEqual(code { _ = try opening.finished }, .misuse)
        }
        let opening = Pieces([envelope.prefix(50_000)], thenThrows: Broken()).opened(with: bob, context: note)
        var iterator = opening.makeAsyncIterator()
        let first = try await iterator.next()
        XCTAssertNotNil(first)
        do {
            _ = try await iterator.next()
            XCTFail("it is broken")
        } catch {
            XCTAssertTrue(error is Broken)
        }
        // And that was its end.
        let after = try await iterator.next()
        XCTAssertNil(after)
        let second = await code { _ = try await opening.whole() }
        XCTAssertEqual(second, .misuse)

        let sealing = Pieces([payload(70_000)], thenThrows: Broken()).sealed(to: bob.recipient, context: note)
        var unfinished = Data()
        do {
            for try await piece in sealing { unfinished.append(piece) }
            XCTFail("it is broken")
        } catch {
            XCTAssertTrue(error is Broken)
        }
        XCTAssertEqual(code { _ = try open(unfinished, with: bob, context: note) }, .truncated)
    }

    func testACancelledStreamEnds() async throws {
        let bob = try Identity.generate(kem: .x25519)
        let piece = payload(16_384)
        let (asked, count) = (Gate(), Count())
        let task = Task {
            let endless = AsyncStream<Data>(unfolding: {
                if count.next() == 100 { asked.open() }
                return piece
            })
            return try await endless.sealed(to: bob.recipient, context: note).whole()
        }
        await asked.wait()
        task.cancel()
        do {
            _ = try await task.value
            XCTFail("it was cancelled")
        } catch {
            XCTAssertTrue(error is CancellationError, "\(error)")
        }
    }

    func testFiles() async throws {
        let people = try People()
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let (plain, sealed, opened) = (folder.appendingPathComponent("plain"), folder.appendingPathComponent("sealed"), folder.appendingPathComponent("opened"))
        let content = payload(3_000_000)
        try content.write(to: plain)
        for file in [sealed, opened] { XCTAssertTrue(FileManager.default.createFile(atPath: file.path, contents: nil)) }

        var (source, target) = (try FileHandle(forReadingFrom: plain), try FileHandle(forWritingTo: sealed))
        try source.seal(into: target, to: people.bob.recipient, context: note, options: .init(sign: people.alice, filename: "plain"), length: 3_000_000)
        (source, target) = (try FileHandle(forReadingFrom: sealed), try FileHandle(forWritingTo: opened))
        let finished = try source.open(into: target, with: people.bob, context: note)
        XCTAssertEqual(finished.signer, people.alice.signer)
        XCTAssertEqual(finished.about.filename, "plain")
        XCTAssertEqual(try Data(contentsOf: opened), content)
        try source.seek(toOffset: 0)
        let pieces = try await source.pieces.opened(with: people.bob, context: note).whole()
        XCTAssertEqual(pieces, content)

        // Of an envelope that was cut nothing stays.
        let damaged = try Data(contentsOf: sealed).dropLast(100_000)
        try Data(damaged).write(to: sealed)
        let cut = try FileHandle(forReadingFrom: sealed)
        let end = try target.seekToEnd()
        XCTAssertNotNil(code { _ = try cut.open(into: target, with: people.bob, context: note) })
        XCTAssertEqual(try Data(contentsOf: opened).count, Int(end))
    }

    func testRandomAccess() async throws {
        let people = try People()
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let plain = payload(2_500_000)
        let envelope = try seal(plain, to: people.bob.recipient, context: note, options: .init(filename: "film"))
        let file = folder.appendingPathComponent("sealed")
        try envelope.write(to: file)
        let blob = try await SealedBlob.open(FileSource(FileHandle(forReadingFrom: file)), with: people.bob, context: note)
        XCTAssertEqual(blob.length, 2_500_000)
        XCTAssertEqual(blob.about.filename, "film")
        for range in [0..<0, 0..<1, 16_383..<16_385, 1_000_000..<2_400_000, 0..<2_500_000, 2_500_000..<2_500_000] as [Range<UInt64>] {
            let read = try await blob.read(range)
            XCTAssertEqual(read, Data(plain[Int(range.lowerBound)..<Int(range.upperBound)]), "\(range)")
        }
        let outside = await code { _ = try await blob.read(0..<2_500_001) }
        XCTAssertEqual(outside, .misuse)
        var flipped = envelope
        flipped[try inspect(envelope).length + 56 + 20_000] ^= 1
        let altered = try await SealedBlob.open(DataSource(flipped), with: people.bob, context: note)
        let good = try await altered.read(0..<16_384)
        XCTAssertEqual(good, plain.prefix(16_384))
        let bad = await code { _ = try await altered.read(16_384..<16_385) }
        XCTAssertEqual(bad, .rejected)
    }
}

private final class Count: @unchecked Sendable {
    private var count = 0

    func next() -> Int {
        count += 1
        return count
    }
}
