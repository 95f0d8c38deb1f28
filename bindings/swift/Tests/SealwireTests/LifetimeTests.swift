import Foundation
import Sealwire
import XCTest

final class LifetimeTests: XCTestCase {
    func testSixteenTasksAtOnce() async throws {
        let people = try People()
        let passphrase = try Passphrase("correct horse", costs: Argon2Costs(memory: 8, passes: 1, lanes: 1))
        let readers: [Reader] = [.recipient(people.bob.recipient), .passphrase(passphrase)]
        try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<16 {
                group.addTask {
                    for turn in 0..<50 {
                        let plain = Data("\(number) says \(turn)".utf8)
                        let context = SealContext("notes", fields: [.number(UInt64(number))])
                        let envelope = try seal(plain, to: readers, context: context, options: .init(sign: people.alice))
                        let keys: any Unlock = turn % 2 == 0 ? people.bob : passphrase
                        guard try open(envelope, with: keys, context: context, expect: [people.alice.signer]).plaintext == plain else {
                            throw Failure("another one's")
                        }
                    }
                    return number
                }
            }
            var done = Set<Int>()
            for try await number in group { done.insert(number) }
            XCTAssertEqual(done.count, 16)
        }
    }

    /// One stream from many threads: each piece goes in once, and whoever comes after the end is told.
    func testASharedStreamsEndIsItsEnd() async throws {
        let bob = try Identity.generate(kem: .x25519)
        let envelope = try seal(payload(50_000), to: bob.recipient, context: note)
        let opening = Pieces([envelope]).opened(with: bob, context: note)
        let outcomes = await withTaskGroup(of: SealwireError.Code?.self) { group in
            for _ in 0..<16 { group.addTask { await code { _ = try await opening.whole() } } }
            return await group.reduce(into: [SealwireError.Code?]()) { $0.append($1) }
        }
        XCTAssertEqual(outcomes.filter { $0 == nil }.count, 1)
        XCTAssertEqual(outcomes.filter { $0 == .misuse }.count, 15)
    }

    func testMemoryStaysFlat() throws {
        let people = try People()
        let (plain, readers) = (payload(1024), people.bob.recipient)
        let cycle = { (count: Int) in
            for turn in 0..<count {
                try autoreleased {
                    let envelope = try seal(plain, to: readers, context: note, options: .init(sign: people.alice))
                    _ = try open(envelope, with: people.bob, context: note)
                    guard turn % 10 == 0 else { return }
                    _ = try? open(envelope.dropLast(1), with: people.bob, context: note)
                    _ = try Recipient.parse(people.carol.recipient.description)
                }
            }
        }
        try cycle(2_000)
        guard let before = residentBytes() else { throw XCTSkip("nothing here says how much memory is used") }
        try cycle(100_000)
        let after = try required(residentBytes())
        XCTAssertLessThan(after - before, 8 << 20, "grew from \(before) to \(after)")
    }

    func testWhatIsNotReadToItsEndIsReleased() async throws {
        let bob = try Identity.generate(kem: .x25519)
        let envelope = try seal(payload(200_000), to: bob.recipient, context: note)
        let once = {
            let opening = Pieces(envelope, by: 20_000).opened(with: bob, context: note)
            for try await _ in opening { break }
            let sealing = Pieces(envelope, by: 20_000).sealed(to: bob.recipient, context: note)
            for try await _ in sealing { break }
        }
        for _ in 0..<200 { try await once() }
        guard let before = residentBytes() else { throw XCTSkip("nothing here says how much memory is used") }
        for _ in 0..<2_000 { try await once() }
        let after = try required(residentBytes())
        XCTAssertLessThan(after - before, 8 << 20, "grew from \(before) to \(after)")
    }
}

private func autoreleased(_ body: () throws -> Void) throws {
    #if canImport(ObjectiveC)
    try autoreleasepool(invoking: body)
    #else
    try body()
    #endif
}

/// How much of this process is in memory.
private func residentBytes() -> Int? {
    guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8) else { return nil }
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
    return line?.split(separator: " ").compactMap { Int($0) }.first.map { $0 * 1024 }
}
