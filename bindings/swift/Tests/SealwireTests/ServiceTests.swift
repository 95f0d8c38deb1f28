import Foundation
@testable import Sealwire
import XCTest

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

private let api = "https://api.example.com"

/// Bodies that stream through a service, whose requests are made by hand: what a session sends, in other pieces.
final class ServiceTests: XCTestCase {
    private let identity = try! Identity.generate()
    private let alice = try! Identity.generate()

    override func tearDown() {
        WireProtocol.wire = nil
    }

    func testAnAppReadsWhileItArrives() async throws {
        let large = payload(300_000)
        let service = try SealedService(origin: api, keys: .generate(), identity: identity, stream: ["/film"])
        let sealed = try await sealedRequest(to: service, "/film", large)
        let gate = Gate()
        let arriving = pieces(of: sealed, by: 20_000) { at in
            // The rest comes when the app has seen the beginning of it.
            if at == 200_000 { await gate.wait() }
        }
        let response = try await service.handle(sealed.with(arriving)) { request, _ in
            var got = Data()
            for try await piece in request.body {
                got.append(piece)
                if got.count > 100_000 { gate.open() }
            }
            XCTAssertEqual(got, large)
            let again = await code { _ = try await request.body.whole() }
            XCTAssertEqual(again, .misuse)
            return ServiceResponse(status: 200)
        }
        XCTAssertEqual(response.status, 200)
    }

    func testABodyThatIsCutOffThrows() async throws {
        struct Broken: Error {}
        let large = payload(300_000)
        let patient = try SealedService(origin: api, keys: .generate(), identity: identity, stream: ["/film"])
        let service = try SealedService(origin: api, keys: .generate(), identity: identity, stream: ["/film"], bodyTimeout: soon)
        let endings: [(String, @Sendable (Int) async throws -> Void)] = [
            ("broken", { if $0 == 200_000 { throw Broken() } }),
            ("late", { if $0 == 200_000 { try await never() } }),
        ]
        for (name, ending) in endings {
            let service = name == "late" ? service : patient
            let sealed = try await sealedRequest(to: service, "/film", large)
            let seen = Seen()
            _ = try await service.handle(sealed.with(pieces(of: sealed, by: 20_000, before: ending))) { request, _ in
                do {
                    for try await piece in request.body { seen.count += piece.count }
                    XCTFail("\(name): that was no end")
                } catch {
                    XCTAssertTrue(error is Broken || (error as? SealwireError)?.code == .network, "\(name): \(error)")
                }
                return ServiceResponse(status: 200)
            }
            XCTAssertTrue(seen.count > 100_000 && seen.count < 300_000, "\(name): \(seen.count)")
        }
        // One that just ends, a piece early, and one with another last byte.
        for (name, expected) in [("short", [.truncated, .rejected]), ("flipped", [.rejected])] as [(String, [SealwireError.Code])] {
            let sealed = try await sealedRequest(to: patient, "/film", large)
            var body = try await sealed.body.whole()
            if name == "short" { body = body.dropLast(30_000) } else { body[body.endIndex - 1] ^= 1 }
            _ = try await patient.handle(sealed.with(ServiceBody(Pieces(body, by: 20_000)))) { request, _ in
                let got = await code { _ = try await request.body.whole() }
                XCTAssertTrue(expected.contains { $0 == got }, "\(name): \(String(describing: got))")
                return ServiceResponse(status: 200)
            }
        }
    }

    func testWhatIsHeldHasItsLimits() async throws {
        struct Broken: Error {}
        let service = try SealedService(origin: api, keys: .generate(), identity: identity, maxBody: 400_000, bodyTimeout: soon, memory: 400_000)
        let ask = { (sealed: ServiceRequest, body: ServiceBody) in
            try await service.handle(sealed.with(body)) { request, _ in ServiceResponse(status: 200, body: request.body) }.status
        }
        let small = try await sealedRequest(to: service, "/notes/17", payload(50_000))
        // One that goes on and on, and would need a minute for all of it.
        let slow = try await ask(small, pieces(of: small, by: 50) { _ in try await Task.sleep(nanoseconds: 60_000_000) })
        XCTAssertEqual(slow / 100, 4)
        let broken = try await ask(small, pieces(of: small, by: 20_000) { if $0 > 0 { throw Broken() } })
        XCTAssertEqual(broken / 100, 4)
        // One that does not even listen when it is given up.
        let end = Gate()
        let deaf = try await ask(small, pieces(of: small, by: 20_000) { _ in await Task.detached { await end.wait() }.value })
        XCTAssertEqual(deaf / 100, 4)
        end.open()
        let large = try await sealedRequest(to: service, "/notes/17", payload(300_000))
        let full = try await ask(large, large.body)
        XCTAssertEqual(full, 503)
        // And none of it is held any more.
        for _ in 0..<5 {
            let next = try await sealedRequest(to: service, "/notes/17", payload(150_000))
            let status = try await ask(next, next.body)
            XCTAssertEqual(status, 200)
        }
        XCTAssertEqual(code { _ = try SealedService(origin: api, keys: .generate(), identity: identity, bodyTimeout: .nan) }, .misuse)
        XCTAssertEqual(code { _ = try SealedService(gatewayOf: api, verify: Verify(signers: .known([])), bodyTimeout: .infinity) }, .misuse)
    }

    func testAnswersAreSealedWhileTheyAreMade() async throws {
        struct Broken: Error {}
        let service = try SealedService(origin: api, keys: .generate(), identity: identity)
        let (session, wire) = try client(streamed: true)
        wire.app = { request in
            try await service.handle(request) { request, _ in
                switch request.pathAndQuery {
                case "/endless":
                    return ServiceResponse(status: 200, body: ServiceBody(AsyncThrowingStream { payload(20_000) }))
                case "/breaks":
                    return ServiceResponse(status: 200, body: ServiceBody(Pieces([payload(100_000)], thenThrows: Broken())))
                case "/echo":
                    return ServiceResponse(status: 200, body: request.body)
                default:
                    _ = try await request.body.whole()
                    // It was read before.
                    let used = ServiceBody(Pieces([payload(10)]))
                    _ = try await used.whole()
                    return ServiceResponse(status: 200, body: used)
                }
            }
        }
        let (endless, _) = try await session.bytes(for: request("GET", "/endless"))
        var count = 0
        for try await piece in endless {
            count += piece.count
            if count > 1 << 20 { break }
        }
        XCTAssertGreaterThan(count, 1 << 20)
        let broken = await code { _ = try await session.data(for: self.request("GET", "/breaks")) }
        XCTAssertTrue(broken == .network || broken == .truncated, "\(String(describing: broken))")
        var post = try request("POST", "/echo")
        post.httpBody = payload(200_000)
        let (echoed, _) = try await session.data(for: post)
        XCTAssertEqual(echoed, payload(200_000))
        let (nothing, failed) = try await session.data(for: request("GET", "/used"))
        XCTAssertEqual(failed.statusCode, 500)
        XCTAssertEqual(nothing, Data())
        let (none, head) = try await session.data(for: request("HEAD", "/endless"))
        XCTAssertEqual([head.statusCode, none.count], [200, 0])
    }

    /// In the whole form they are collected.
    func testAnswersAreSealedAsAWhole() async throws {
        struct Broken: Error {}
        let service = try SealedService(origin: api, keys: .generate(), identity: identity)
        let (session, wire) = try client(streamed: false)
        wire.app = { request in
            try await service.handle(request) { request, _ in
                switch request.pathAndQuery {
                case "/pieces": return ServiceResponse(status: 201, body: ServiceBody(Pieces(payload(200_000), by: 777)))
                case "/breaks": return ServiceResponse(status: 200, body: ServiceBody(Pieces([payload(10)], thenThrows: Broken())))
                default: return ServiceResponse(status: 200, body: ServiceBody(AsyncThrowingStream { Data(count: 1 << 20) }))
                }
            }
        }
        let (body, response) = try await session.data(for: request("GET", "/pieces"))
        XCTAssertEqual(response.statusCode, 201)
        XCTAssertEqual(body, payload(200_000))
        for path in ["/breaks", "/endless"] {
            let (nothing, failed) = try await session.data(for: request("GET", path))
            XCTAssertEqual(failed.statusCode, 500, path)
            XCTAssertEqual(nothing, Data(), path)
        }
    }

    /// A framework that always hands a stream, and whose requests do not say whether a body follows.
    func testARequestWithoutABody() async throws {
        let gateway = try SealedService(gatewayOf: api, verify: Verify(signers: .known([alice.signer])), plain: ["/health"])
        let signed = ServiceRequest(try request("GET", "/notes/17").signed(by: alice))
        let got = try await gateway.handle(signed.with(ServiceBody(Pieces([])))) { request, signer in
            XCTAssertNotNil(signer)
            let body = try await request.body.whole()
            XCTAssertEqual(body, Data())
            return ServiceResponse(status: 200)
        }
        XCTAssertEqual(got.status, 200)
        var put = try request("PUT", "/notes/17")
        put.httpBody = Data("{}".utf8)
        let written = ServiceRequest(try put.signed(by: alice))
        let sent = try await gateway.handle(written.with(ServiceBody(Pieces([Data(), Data("{".utf8), Data("}".utf8)])))) { request, _ in
            ServiceResponse(status: 200, body: request.body)
        }
        let echoed = try await sent.body.whole()
        XCTAssertEqual(echoed, Data("{}".utf8))
        // What is let in as it is keeps its body, although somebody has looked at it.
        let health = ServiceRequest(method: "POST", pathAndQuery: "/health", body: ServiceBody(Pieces([Data("a".utf8), Data("b".utf8)])))
        let plain = try await gateway.handle(health) { request, _ in ServiceResponse(status: 200, body: try await request.body.whole()) }
        let whole = try await plain.body.whole()
        XCTAssertEqual(whole, Data("ab".utf8))
    }

    func testABodyHasOneReader() async throws {
        let body = ServiceBody(Pieces(payload(100_000), by: 1_000))
        let outcomes = await atOnce { try await body.whole() == payload(100_000) }
        XCTAssertEqual(outcomes.filter { $0 == .success(true) }.count, 1)
        XCTAssertEqual(outcomes.filter { $0 == .failure(.misuse) }.count, 15)
        let large = await code { _ = try await ServiceBody(payload(11)).whole(upTo: 10) }
        XCTAssertEqual(large, .tooLarge)
        // Bytes may be read again.
        let bytes = ServiceBody(payload(10))
        for _ in 0..<2 {
            let whole = try await bytes.whole(upTo: 10)
            XCTAssertEqual(whole, payload(10))
        }
    }

    /// Whoever comes while another reads is refused, and ends nothing.
    func testAnothersTurnIsNotEnded() async throws {
        let (asked, go, seen) = (Gate(), Gate(), Seen())
        let pieces = Once {
            asked.open()
            await go.wait()
            seen.count += 1
            return seen.count < 3 ? payload(seen.count) : nil
        }
        async let first = pieces.next()
        await asked.wait()
        let second = await code { _ = try await pieces.next(within: 60) }
        XCTAssertEqual(second, .misuse)
        let isEmpty = await pieces.isEmpty(within: 60)
        XCTAssertFalse(isEmpty)
        go.open()
        let got = try await first
        XCTAssertEqual(got, payload(1))
        // What is seen ahead is not lost, and the end is one.
        let isOver = await pieces.isEmpty(within: 60)
        XCTAssertFalse(isOver)
        let rest = [try await pieces.next(within: 60), try await pieces.next()]
        XCTAssertEqual(rest, [payload(2), nil])
        let after = await code { _ = try await pieces.next() }
        XCTAssertEqual(after, .misuse)
    }

    /// What a session sends to `service`, in the chunked form.
    private func sealedRequest(to service: SealedService, _ path: String, _ body: Data) async throws -> ServiceRequest {
        let (session, wire) = try client(streamed: true)
        let sent = Sent()
        wire.app = { request in
            if request.method == "GET" { return try await service.handle(request) { _, _ in ServiceResponse(status: 404) } }
            sent.request = request
            throw Failure("kept")
        }
        var post = try request("POST", path)
        post.httpBody = body
        _ = try? await session.data(for: post)
        return try required(sent.request)
    }

    private func client(streamed: Bool) throws -> (SealedSession, Wire) {
        let wire = Wire()
        WireProtocol.wire = wire
        let configuration = URLSessionConfiguration.ephemeral
        configuration.protocolClasses = [WireProtocol.self]
        let rule = Rule(origin: api, path: "/{rest..}", exchange: .inPlace(), streamed: streamed)
        let policy = Policy(services: [api: .pins([identity.recipient.pin.description])], rules: [rule])
        return (try SealedSession(policy: policy, configuration: configuration), wire)
    }

    private func request(_ method: String, _ path: String) throws -> URLRequest {
        var request = URLRequest(url: try required(URL(string: api + path)))
        request.httpMethod = method
        return request
    }
}

extension ServiceRequest {
    fileprivate func with(_ body: ServiceBody) -> ServiceRequest {
        ServiceRequest(method: method, pathAndQuery: pathAndQuery, fields: fields, body: body)
    }
}

/// How long a body may take where it has to take longer: on a busy machine, too, what is there comes sooner.
private let soon: TimeInterval = 5

/// Until it is cancelled.
private func never() async throws {
    while true { try await Task.sleep(nanoseconds: 600_000_000_000) }
}

/// The body of `request` in pieces; `before` is asked before each, with how many bytes came already.
private func pieces(of request: ServiceRequest, by length: Int, before: @escaping @Sendable (Int) async throws -> Void) -> ServiceBody {
    let at = Seen()
    return ServiceBody(
        AsyncThrowingStream { () async throws -> Data? in
            let whole = try await request.body.whole()
            guard at.count < whole.count else { return nil }
            try await before(at.count)
            defer { at.count += length }
            return Data(whole.dropFirst(at.count).prefix(length))
        }
    )
}

private final class Seen: @unchecked Sendable {
    var count = 0
}

private final class Sent: @unchecked Sendable {
    var request: ServiceRequest?
}
