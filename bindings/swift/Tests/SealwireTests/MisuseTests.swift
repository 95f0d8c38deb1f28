import Foundation
import Sealwire
import XCTest

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// Nothing here has a `close()`: what can be used up, used from two threads, or handed in after its end says so, and never ends the process.
final class MisuseTests: XCTestCase {
    private let api = "https://api.example.com"
    private let serviceIdentity = try! Identity.generate()

    override func tearDown() {
        WireProtocol.wire = nil
    }

    func testABodyThatArrivesHasOneReader() async throws {
        let large = payload(300_000)
        let session = try client(streamed: true) { _, _ in ServiceResponse(status: 200, body: large) }
        for _ in 0..<10 {
            let (bytes, _) = try await session.bytes(for: request())
            let outcomes = await atOnce { try await bytes.whole() == large }
            XCTAssertEqual(outcomes.filter { $0 == .success(true) }.count, 1)
            XCTAssertEqual(outcomes.filter { $0 == .failure(.misuse) }.count, 15, "\(outcomes)")
            let again = await code { _ = try await bytes.whole() }
            XCTAssertEqual(again, .misuse)
        }
        // One iterator that was copied: each piece goes to one of them.
        let (bytes, _) = try await session.bytes(for: request())
        var iterator = bytes.makeAsyncIterator()
        _ = try await iterator.next()
        let copied = iterator
        let outcomes = await atOnce {
            var copy = copied
            while try await copy.next() != nil {}
            return true
        }
        XCTAssertEqual(outcomes.filter { $0 != .success(true) && $0 != .failure(.misuse) }, [])

        // One that is a single piece is read once, too.
        let whole = try client(streamed: false) { _, _ in ServiceResponse(status: 200, body: large) }
        let (body, _) = try await whole.bytes(for: request())
        let first = try await body.whole()
        XCTAssertEqual(first, large)
        let second = await code { _ = try await body.whole() }
        XCTAssertEqual(second, .misuse)
    }

    func testAnAnswerOutlivesItsSession() async throws {
        let large = payload(300_000)
        var session: SealedSession? = try client(streamed: true) { _, _ in ServiceResponse(status: 200, body: large) }
        let (bytes, _) = try await required(session).bytes(for: request())
        session = nil
        let whole = try await bytes.whole()
        XCTAssertEqual(whole, large)
    }

    func testOneSessionForManyTasks() async throws {
        let session = try client(streamed: false) { request, _ in ServiceResponse(status: 200, body: Data(request.pathAndQuery.utf8)) }
        let outcomes = await atOnce { session.forgetServiceKeys(); return try await session.data(for: self.request()).0 == Data("/notes/17".utf8) }
        XCTAssertEqual(outcomes.filter { $0 != .success(true) }, [])
    }

    func testTheURLProtocolForManyTasks() async throws {
        let session = try client(streamed: true) { request, _ in ServiceResponse(status: 200, body: Data(request.pathAndQuery.utf8)) }
        SealwireURLProtocol.use(session)
        defer { SealwireURLProtocol.forget(session) }
        let configuration = URLSessionConfiguration.ephemeral
        configuration.protocolClasses = [SealwireURLProtocol.self]
        let others = URLSession(configuration: configuration)
        for _ in 0..<20 {
            let outcomes = await atOnce { try await others.data(for: self.request()).0 == Data("/notes/17".utf8) }
            XCTAssertEqual(outcomes.filter { $0 != .success(true) }, [])
        }
    }

    /// Copies of a sequence's iterator share its stream: what comes is refused, or the payload.
    func testCopiedIterators() async throws {
        let bob = try Identity.generate(kem: .x25519)
        let plain = payload(200_000)
        let envelope = try seal(plain, to: bob.recipient, context: note)
        let (opening, sealing) = (Pieces(envelope, by: 7_000).opened(with: bob, context: note), Pieces(plain, by: 7_000).sealed(to: bob.recipient, context: note))
        var (opened, sealed) = (opening.makeAsyncIterator(), sealing.makeAsyncIterator())
        _ = try await opened.next()
        _ = try await sealed.next()
        let (openedTo, sealedTo) = (opened, sealed)
        let outcomes = await atOnce {
            var copy = openedTo
            while try await copy.next() != nil {}
            return true
        } + atOnce {
            var copy = sealedTo
            while try await copy.next() != nil {}
            return true
        }
        let refusals: [SealwireError.Code] = [.misuse, .rejected, .truncated, .malformed]
        XCTAssertEqual(outcomes.filter { outcome in outcome != .success(true) && !refusals.contains { outcome == .failure($0) } }, [])
    }

    func testKeysOfEveryKindFromManyThreads() async throws {
        let bob = try Identity.generate()
        let (passphrase, symmetric) = (try Passphrase("correct horse", costs: Argon2Costs(memory: 8, passes: 1, lanes: 1)), try SymmetricKey.generate())
        let readers: [Reader] = [.recipient(bob.recipient), .passphrase(passphrase), .symmetric(symmetric), .service(Plain())]
        let envelope = try seal(Data("a note".utf8), to: readers, context: note)
        let slot = try required(try inspect(envelope).unverifiedSlots.compactMap { slot -> Data? in
            if case .external(_, let ct) = slot.kind { return ct }
            return nil
        }.first)
        let content = try ContentKey(envelope: envelope, candidate: slot)
        let keys: [any Unlock] = [bob, passphrase, symmetric, content, UnlockKey.service(Plain()), Keyring(bob, content)]
        let other = try seal(Data("another".utf8), to: readers, context: note)
        let outcomes = await atOnce {
            for _ in 0..<20 {
                for key in keys {
                    guard try open(envelope, with: key, context: note).plaintext == Data("a note".utf8) else { return false }
                }
            }
            return code { _ = try open(other, with: content, context: note) } == .notRecipient
        }
        XCTAssertEqual(outcomes.filter { $0 != .success(true) }, [])
    }

    func testServiceKeysHaveOneService() async throws {
        let keys = try ServiceKeys.generate()
        // What is wrong with the options is said while the keys are still free.
        XCTAssertEqual(code { _ = try SealedService(origin: api, keys: keys, identity: serviceIdentity, plain: ["no path"]) }, .malformed)
        XCTAssertEqual(code { _ = try SealedService(origin: "nonsense", keys: keys, identity: serviceIdentity) }, .malformed)
        let outcomes = await atOnce { _ = try SealedService(origin: self.api, keys: keys, identity: self.serviceIdentity); return true }
        XCTAssertEqual(outcomes.filter { $0 == .success(true) }.count, 1)
        XCTAssertEqual(outcomes.filter { $0 == .failure(.misuse) }.count, 15)
        let store = MemoryStore()
        let changes = await atOnce {
            do { try keys.rotate() } catch let error as SealwireError where error.code == .tooLarge {}
            try keys.save(in: store, name: "api")
            return try keys.expires != nil
        }
        XCTAssertEqual(changes.filter { $0 != .success(true) }, [])
    }

    func testRangesThatAreNotThere() async throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appendingPathComponent("file")
        try payload(100).write(to: file)
        let sources: [any RangeSource] = [DataSource(payload(100)), try FileSource(FileHandle(forReadingFrom: file))]
        for source in sources {
            let last = try await source.read(90..<100)
            XCTAssertEqual(last, payload(100).suffix(10))
            for range in [0..<101, 101..<102, 0..<UInt64.max, UInt64.max - 1..<UInt64.max, UInt64.max..<UInt64.max] as [Range<UInt64>] {
                let got = await code { _ = try await source.read(range) }
                XCTAssertEqual(got, .misuse, "\(range)")
            }
        }
    }

    func testTwoGiBInOnePiece() throws {
        let bob = try Identity.generate(kem: .x25519)
        // Neither is written, and what is only read has no memory of its own.
        let bytes = Data(count: 1 << 31)
        XCTAssertEqual(code { _ = try seal(bytes, to: bob.recipient, context: note) }, .tooLarge)
        XCTAssertEqual(code { _ = try open(bytes, with: bob, context: note) }, .tooLarge)
        let text = String(unsafeUninitializedCapacity: 1 << 31) { $0.count }
        XCTAssertEqual(code { _ = try fromText(text) }, .tooLarge)
        XCTAssertEqual(code { _ = try Recipient.parse(text) }, .tooLarge)
        XCTAssertEqual(code { _ = try Pin.parse(text) }, .tooLarge)
        XCTAssertEqual(code { _ = try Signer.parse(text) }, .tooLarge)
        XCTAssertEqual(code { _ = try Identity.parse(text) }, .tooLarge)
        XCTAssertEqual(code { _ = try Identity.parseFile(text) }, .tooLarge)
        XCTAssertEqual(code { _ = try Passphrase(text) }, .tooLarge)
    }

    /// Whose error it is does not matter: it is one.
    func testFilesThatWereClosed() async throws {
        let bob = try Identity.generate(kem: .x25519)
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let (sealed, target) = (folder.appendingPathComponent("sealed"), folder.appendingPathComponent("target"))
        try seal(payload(100_000), to: bob.recipient, context: note).write(to: sealed)
        XCTAssertTrue(FileManager.default.createFile(atPath: target.path, contents: nil))
        let (reading, writing) = (try FileHandle(forReadingFrom: sealed), try FileHandle(forWritingTo: target))
        let source = try FileSource(reading)
        let blob = try await SealedBlob.open(source, with: bob, context: note)
        try reading.close()
        try writing.close()
        XCTAssertThrowsError(try reading.seal(into: writing, to: bob.recipient, context: note))
        XCTAssertThrowsError(try reading.open(into: writing, with: bob, context: note))
        XCTAssertThrowsError(try FileHandle(forReadingFrom: sealed).open(into: writing, with: bob, context: note))
        XCTAssertThrowsError(try FileSource(reading))
        let attempts: [() async throws -> Void] = [
            { _ = try await reading.pieces.whole() },
            { _ = try await reading.pieces.opened(with: bob, context: note).whole() },
            { _ = try await source.read(0..<10) },
            { _ = try await blob.read(0..<10) },
        ]
        for (number, attempt) in attempts.enumerated() {
            do {
                try await attempt()
                XCTFail("\(number): it is closed")
            } catch {}
        }
    }

    private func client(streamed: Bool, app: @escaping @Sendable (ServiceRequest, Signer?) async throws -> ServiceResponse) throws -> SealedSession {
        let service = try SealedService(origin: api, keys: .generate(), identity: serviceIdentity)
        let wire = Wire()
        wire.app = { try await service.handle($0, app: app) }
        WireProtocol.wire = wire
        let configuration = URLSessionConfiguration.ephemeral
        configuration.protocolClasses = [WireProtocol.self]
        let rule = Rule(origin: api, path: "/{rest..}", exchange: .inPlace(), streamed: streamed)
        return try SealedSession(
            policy: Policy(services: [api: .pins([serviceIdentity.recipient.pin.description])], rules: [rule]),
            configuration: configuration
        )
    }

    private func request() throws -> URLRequest {
        URLRequest(url: try required(URL(string: "\(api)/notes/17")))
    }
}

enum Outcome: Equatable {
    case success(Bool)
    case failure(SealwireError.Code)
    case otherwise(String)
}

/// What it comes to for each of 16 tasks.
func atOnce(_ body: @escaping () async throws -> Bool) async -> [Outcome] {
    await withTaskGroup(of: Outcome.self) { group in
        for _ in 0..<16 {
            group.addTask {
                do {
                    return .success(try await body())
                } catch let error as SealwireError {
                    return .failure(error.code)
                } catch {
                    return .otherwise("\(error)")
                }
            }
        }
        return await group.reduce(into: []) { $0.append($1) }
    }
}

/// A key service that wraps nothing at all.
private struct Plain: KeyService {
    let service = "plain"

    func wrap(_ contentKey: Data, binding: Data) throws -> Data { contentKey }

    func unwrap(_ wrapped: Data, binding: Data) throws -> Data? { wrapped }
}
