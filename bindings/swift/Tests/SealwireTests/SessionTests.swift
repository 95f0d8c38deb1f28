import Foundation
@testable import Sealwire
import XCTest

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

private let api = "https://api.example.com"

/// Against a service in the same process, which a `URLProtocol` of the test stands in front of.
final class SessionTests: XCTestCase {
    private let people = try! People()
    private let serviceIdentity = try! Identity.generate()
    private let wire = Wire()

    override func tearDown() {
        WireProtocol.wire = nil
    }

    func testAnExchangeInPlace() async throws {
        let observer = Log()
        try serve(observer: observer) { request, signer in
            XCTAssertNil(signer)
            XCTAssertEqual(request.fields.first { $0.name == "authorization" }?.value, "Bearer secret")
            let body = try await request.body.whole()
            return ServiceResponse(
                status: 201,
                fields: [HeaderField("content-type", "text/plain"), HeaderField("x-inner", "yes")],
                body: Data("\(request.method) \(request.pathAndQuery) \(String(decoding: body, as: UTF8.self))".utf8)
            )
        }
        let session = try client(Rule(origin: api, path: "/{rest..}", exchange: .inPlace()), observer: observer)
        var request = URLRequest(url: try url("/notes/17?q=secret#fragment"))
        request.httpMethod = "PUT"
        request.httpBody = Data("meet me".utf8)
        request.setValue("Bearer secret", forHTTPHeaderField: "Authorization")
        let (body, response) = try await session.data(for: request)
        XCTAssertEqual(String(decoding: body, as: UTF8.self), "PUT /notes/17?q=secret meet me")
        XCTAssertEqual(response.statusCode, 201)
        XCTAssertEqual(response.value(forHTTPHeaderField: "x-inner"), "yes")
        XCTAssertEqual(response.url?.absoluteString.hasPrefix("\(api)/notes/17"), true)
        // Nothing of it was on the wire.
        for seen in wire.seen {
            XCTAssertNil(seen.range(of: Data("secret".utf8)))
            XCTAssertNil(seen.range(of: Data("meet me".utf8)))
        }
        XCTAssertEqual(wire.seen.count, 2, "the keys, and the request")
        XCTAssertTrue(observer.events.contains { $0.operation == "call" && $0.code == "ok" && $0.protection == "exchange" })
        XCTAssertTrue(observer.events.contains { $0.operation == "serve" && $0.code == "ok" })

        // Keys are known now; every method works, and an empty body is one.
        request = URLRequest(url: try url("/notes/17"))
        request.setValue("Bearer secret", forHTTPHeaderField: "Authorization")
        let (second, _) = try await session.data(for: request)
        XCTAssertEqual(String(decoding: second, as: UTF8.self), "GET /notes/17 ")
        XCTAssertEqual(wire.seen.count, 3)
    }

    func testStreamedAnswersAndUploads() async throws {
        let large = payload(300_000)
        try serve { request, _ in
            ServiceResponse(status: 200, body: request.method == "POST" ? request.body : ServiceBody(large))
        }
        let session = try client(Rule(origin: api, path: "/{rest..}", exchange: .inPlace(), streamed: true))
        let (bytes, response) = try await session.bytes(for: URLRequest(url: try url("/film")))
        XCTAssertEqual(response.statusCode, 200)
        let whole = try await bytes.whole()
        XCTAssertEqual(whole, large)

        let file = try temporaryFolder().appendingPathComponent("file")
        try large.write(to: file)
        var request = URLRequest(url: try url("/upload"))
        request.httpMethod = "POST"
        let answer = try await session.upload(for: request, fromFile: file)
        XCTAssertEqual(answer.body, large)

        // Cut off on the way: never the end.
        wire.cutsAnswers = true
        let (cut, _) = try await session.bytes(for: URLRequest(url: try url("/film")))
        let got = await code { _ = try await cut.whole() }
        XCTAssertTrue(got == .truncated || got == .rejected, "\(String(describing: got))")
    }

    func testSealedResourcesAndLists() async throws {
        let stored = Stored()
        try serve(plain: ["/{rest..}"]) { request, _ in
            if request.pathAndQuery == "/notes" {
                let items = try stored.all().map { "{\"id\":\"\($0.key)\",\"sealed\":\"\(try toText($0.value))\"}" }
                return ServiceResponse(status: 200, fields: [HeaderField("content-type", "application/json")], body: Data("[\(items.joined(separator: ","))]".utf8))
            }
            let id = String(request.pathAndQuery.dropFirst("/notes/".count))
            guard request.method == "PUT" else {
                return ServiceResponse(status: 200, fields: [HeaderField("content-type", "application/vnd.sealwire")], body: stored.all()[id] ?? Data())
            }
            stored.put(try await request.body.whole(), id)
            return ServiceResponse(status: 204)
        }
        let resource = SealedResource(
            namespace: "notes",
            id: "id",
            to: [people.alice.recipient, people.bob.recipient],
            senders: [people.alice.signer],
            list: .init(id: "id", envelope: "sealed")
        )
        let single = SealedResource(namespace: "notes", id: "id", to: resource.to, senders: resource.senders)
        let rules = [Rule(origin: api, path: "/notes", seal: resource), Rule(origin: api, path: "/notes/{id}", seal: single)]
        let alice = try client(rules[0], rules[1], identity: people.alice)
        var request = URLRequest(url: try url("/notes/17"))
        request.httpMethod = "PUT"
        request.httpBody = Data("for Bob".utf8)
        request.setValue("text/plain", forHTTPHeaderField: "content-type")
        let (_, written) = try await alice.data(for: request, options: CallOptions(version: 2))
        XCTAssertEqual(written.statusCode, 204)
        XCTAssertEqual(try open(try required(stored.all()["17"]), with: people.bob, context: note).plaintext, Data("for Bob".utf8))

        let bob = try client(rules[0], rules[1], identity: people.bob)
        let answer = try await bob.answer(for: URLRequest(url: try url("/notes/17")))
        XCTAssertEqual(answer.body, Data("for Bob".utf8))
        XCTAssertEqual(answer.signer, people.alice.signer)
        XCTAssertEqual(answer.about?.version, 2)
        XCTAssertEqual(answer.response.value(forHTTPHeaderField: "content-type"), "text/plain")

        // A list, with an item that somebody has moved there.
        stored.put(try required(stored.all()["17"]), "18")
        let list = try required(try await bob.answer(for: URLRequest(url: try url("/notes"))).list).sorted { $0.id < $1.id }
        XCTAssertEqual(list.map(\.id), ["17", "18"])
        XCTAssertEqual(try list[0].opened.get().plaintext, Data("for Bob".utf8))
        XCTAssertEqual(code { _ = try list[1].opened.get() }, .rejected)

        // An older version is not taken after a newer one.
        let old = try required(stored.all()["17"])
        request.httpBody = Data("newer".utf8)
        _ = try await alice.data(for: request, options: CallOptions(version: 3))
        let newer = try await bob.data(for: URLRequest(url: try url("/notes/17"))).0
        XCTAssertEqual(newer, Data("newer".utf8))
        stored.put(old, "17")
        let got = await code { _ = try await bob.data(for: URLRequest(url: try url("/notes/17"))) }
        XCTAssertEqual(got, .rejected)
    }

    func testWhatIsHostile() async throws {
        try serve { _, _ in ServiceResponse(status: 200, body: Data("inner".utf8)) }
        let session = try client(Rule(origin: api, path: "/notes/{id}", exchange: .inPlace()))
        let get = { (path: String) in await code { _ = try await session.data(for: URLRequest(url: try url(path))) } }

        let uncovered = await get("/other")
        XCTAssertEqual(uncovered, .misuse)
        XCTAssertEqual(wire.seen.count, 0, "nothing goes in the clear")
        let good = await get("/notes/17")
        XCTAssertNil(good)

        // Somebody who ends TLS answers by himself, redirects, or changes a byte.
        wire.answer = ServiceResponse(status: 200, body: Data("I am the service".utf8))
        let forged = await get("/notes/17")
        XCTAssertEqual(forged, .unsealed)
        wire.answer = ServiceResponse(status: 302, fields: [HeaderField("location", "\(api)/notes/18")])
        let redirected = await get("/notes/17")
        XCTAssertEqual(redirected, .unsealed)
        wire.answer = nil
        wire.flipsAnswers = true
        let flipped = await get("/notes/17")
        XCTAssertEqual(flipped, .rejected)
        wire.flipsAnswers = false
        wire.breaks = true
        let broken = await get("/notes/17")
        XCTAssertEqual(broken, .network)
        wire.breaks = false

        // A recorded request comes once.
        wire.repeats = true
        _ = await get("/notes/17")
        XCTAssertEqual(wire.repeatedStatus.map { $0 / 100 }, 4)

        // Another pin.
        let other = try SealedSession(
            policy: Policy(services: [api: .pins([people.bob.recipient.pin.description])], rules: [Rule(origin: api, path: "/{rest..}", exchange: .inPlace())]),
            configuration: configuration()
        )
        wire.repeats = false
        let pinned = await code { _ = try await other.data(for: URLRequest(url: try url("/notes/17"))) }
        XCTAssertEqual(pinned, .rejected)
        XCTAssertEqual(code { _ = try SealedSession(policy: Policy(rules: [Rule(origin: "nonsense", path: "/")])) }, .malformed)
    }

    func testSignedRequestsAndAGateway() async throws {
        let gateway = try SealedService(gatewayOf: api, verify: Verify(signers: .lookedUp(Directory(signers: [people.alice.signer]))))
        var request = URLRequest(url: try url("/notes/17?x"))
        request.httpMethod = "PUT"
        request.httpBody = Data("{}".utf8)
        request.setValue("application/json", forHTTPHeaderField: "content-type")
        let signed = try request.signed(by: people.alice)
        let ask = { (request: URLRequest) in
            try await gateway.handle(ServiceRequest(request)) { _, signer in
                ServiceResponse(status: 200, body: Data("\(try required(signer))".utf8))
            }
        }
        let answer = try await ask(signed)
        XCTAssertEqual(answer.status, 200)
        let said = try await answer.body.whole()
        XCTAssertEqual(String(decoding: said, as: UTF8.self), people.alice.signer.description)
        let again = try await ask(signed)
        XCTAssertEqual(again.status, 401)
        let unsigned = try await ask(request)
        XCTAssertEqual(unsigned.status, 401)
        let stranger = try await ask(request.signed(by: people.bob))
        XCTAssertEqual(stranger.status, 401)
        var changed = try request.signed(by: people.alice)
        changed.httpBody = Data("{\"a\":1}".utf8)
        let altered = try await ask(changed)
        XCTAssertNotEqual(altered.status, 200)
    }

    func testTheURLProtocol() async throws {
        try serve { request, _ in ServiceResponse(status: 200, body: Data("inner \(request.pathAndQuery)".utf8) + (try await request.body.whole())) }
        let sealed = try client(Rule(origin: api, path: "/notes/{id}", exchange: .inPlace()))
        SealwireURLProtocol.use(sealed)
        defer { SealwireURLProtocol.forget(sealed) }
        let configuration = URLSessionConfiguration.ephemeral
        configuration.protocolClasses = [SealwireURLProtocol.self]
        let others = URLSession(configuration: configuration)
        var request = URLRequest(url: try url("/notes/17"))
        request.httpMethod = "POST"
        request.httpBody = Data(" and a body".utf8)
        let (body, _) = try await others.data(for: request)
        XCTAssertEqual(String(decoding: body, as: UTF8.self), "inner /notes/17 and a body")
        do {
            _ = try await others.data(for: URLRequest(url: try url("/uncovered")))
            XCTFail("nothing goes in the clear")
        } catch {}
        XCTAssertEqual(wire.seen.count, 2)
        XCTAssertFalse(SealwireURLProtocol.canInit(with: URLRequest(url: try required(URL(string: "https://elsewhere.example/notes/17")))))
    }

    /// Without a session of Foundation's that it knows it sends nothing, and says so, rather than end the process.
    #if canImport(FoundationNetworking)
    func testTheURLProtocolWithoutItsQueue() throws {
        try serve { _, _ in ServiceResponse(status: 200) }
        let sealed = try client(Rule(origin: api, path: "/notes/{id}", exchange: .inPlace()))
        SealwireURLProtocol.use(sealed)
        defer { SealwireURLProtocol.forget(sealed) }
        let told = Told()
        SealwireURLProtocol(request: URLRequest(url: try url("/notes/17")), cachedResponse: nil, client: told).startLoading()
        XCTAssertEqual(told.failures.map { ($0 as? SealwireError)?.code }, [.unsupported])
        XCTAssertEqual(wire.seen.count, 0)
    }
    #endif

    func testACancelledCallEnds() async throws {
        let asked = Gate()
        try serve { _, _ in
            asked.open()
            try await Task.sleep(nanoseconds: 600_000_000_000)
            return ServiceResponse(status: 200)
        }
        let session = try client(Rule(origin: api, path: "/{rest..}", exchange: .inPlace()))
        let task = Task { try await session.data(for: URLRequest(url: try url("/slow"))) }
        await asked.wait()
        task.cancel()
        do {
            _ = try await task.value
            XCTFail("it was cancelled")
        } catch {
            XCTAssertTrue(error is CancellationError, "\(error)")
        }
    }

    /// Rust's service over the network: SEALWIRE_SERVICE is its origin, SEALWIRE_PIN its pin (`tests/examples/web_server.rs`, its `open`).
    func testRustsService() async throws {
        let environment = ProcessInfo.processInfo.environment
        guard let origin = environment["SEALWIRE_SERVICE"], let pin = environment["SEALWIRE_PIN"] else {
            throw XCTSkip("SEALWIRE_SERVICE and SEALWIRE_PIN name none")
        }
        for (exchange, streamed) in [(.inPlace(), false), (.inPlace(), true), (.tunnel(url: "\(origin)/gateway"), false)] as [(Exchange, Bool)] {
            let rule = Rule(origin: origin, path: "/{rest..}", exchange: exchange, streamed: streamed)
            let session = try SealedSession(policy: Policy(services: [origin: .pins([pin])], rules: [rule]))
            let request = { (method: String, path: String) in
                var request = URLRequest(url: try required(URL(string: origin + path)))
                request.httpMethod = method
                return request
            }
            var put = try request("PUT", "/store/swift")
            put.httpBody = payload(500_000)
            let (_, stored) = try await session.data(for: put)
            XCTAssertEqual(stored.statusCode, 201)
            let (body, response) = try await session.data(for: request("GET", "/store/swift"))
            XCTAssertEqual(response.statusCode, 200)
            XCTAssertEqual(body, payload(500_000))
            let (text, _) = try await session.data(for: request("GET", "/a%20b?q=1"))
            XCTAssertEqual(String(decoding: text, as: UTF8.self), "GET /a%20b?q=1 ")
            let (_, missing) = try await session.data(for: request("GET", "/status/404"))
            XCTAssertEqual(missing.statusCode, 404)
            guard streamed else { continue }

            let file = try temporaryFolder().appendingPathComponent("file")
            try payload(3_000_000).write(to: file)
            _ = try await session.upload(for: request("PUT", "/store/large"), fromFile: file)
            let (large, _) = try await session.data(for: request("GET", "/store/large"))
            XCTAssertEqual(large, payload(3_000_000))
            // An answer without an end, and one that fails in the middle.
            let (endless, _) = try await session.bytes(for: request("GET", "/large"))
            var count = 0
            for try await piece in endless {
                count += piece.count
                if count > 8 << 20 { break }
            }
            XCTAssertGreaterThan(count, 8 << 20)
            let broken = await code { _ = try await session.data(for: request("GET", "/breaks")) }
            XCTAssertTrue(broken == .network || broken == .truncated, "\(String(describing: broken))")
        }
    }

    private func serve(
        plain: [String] = [],
        observer: (any Observer)? = nil,
        app: @escaping @Sendable (ServiceRequest, Signer?) async throws -> ServiceResponse
    ) throws {
        let service = try SealedService(origin: api, keys: .generate(), identity: serviceIdentity, plain: plain, observer: observer)
        wire.app = { try await service.handle($0, app: app) }
        WireProtocol.wire = wire
    }

    private func client(_ rules: Rule..., identity: Identity? = nil, observer: (any Observer)? = nil) throws -> SealedSession {
        let services = [api: ServiceTrust.pins([serviceIdentity.recipient.pin.description])]
        let needsKeys = rules.contains { $0.exchange != nil }
        return try SealedSession(
            policy: Policy(services: needsKeys ? services : [:], rules: rules),
            identity: identity,
            lastSeen: MemoryStore(),
            observer: observer,
            configuration: configuration()
        )
    }

    private func configuration() -> URLSessionConfiguration {
        let configuration = URLSessionConfiguration.ephemeral
        configuration.protocolClasses = [WireProtocol.self]
        return configuration
    }
}

private func url(_ path: String) throws -> URL {
    try required(URL(string: api + path))
}

private struct Directory: OriginKeys {
    let signers: [Signer]

    func signer(keyID: String) throws -> Signer? {
        try signers.first { try $0.keyID == keyID }
    }
}

#if canImport(FoundationNetworking)
/// A client of nobody's session.
private final class Told: NSObject, URLProtocolClient, @unchecked Sendable {
    private(set) var failures: [any Error] = []

    func urlProtocol(_ protocol: URLProtocol, didFailWithError error: any Error) { failures.append(error) }
    func urlProtocol(_ protocol: URLProtocol, wasRedirectedTo request: URLRequest, redirectResponse: URLResponse) {}
    func urlProtocol(_ protocol: URLProtocol, cachedResponseIsValid cachedResponse: CachedURLResponse) {}
    func urlProtocol(_ protocol: URLProtocol, didReceive response: URLResponse, cacheStoragePolicy policy: URLCache.StoragePolicy) {}
    func urlProtocol(_ protocol: URLProtocol, didLoad data: Data) {}
    func urlProtocolDidFinishLoading(_ protocol: URLProtocol) {}
    func urlProtocol(_ protocol: URLProtocol, didReceive challenge: URLAuthenticationChallenge) {}
    func urlProtocol(_ protocol: URLProtocol, didCancel challenge: URLAuthenticationChallenge) {}
}
#endif

private final class Log: Observer, @unchecked Sendable {
    private let lock = NSLock()
    private var heard: [SealwireEvent] = []

    var events: [SealwireEvent] {
        lock.lock()
        defer { lock.unlock() }
        return heard
    }

    func event(_ event: SealwireEvent) {
        lock.lock()
        defer { lock.unlock() }
        heard.append(event)
    }
}

private final class Stored: @unchecked Sendable {
    private let lock = NSLock()
    private var bodies: [String: Data] = [:]

    func all() -> [String: Data] {
        lock.lock()
        defer { lock.unlock() }
        return bodies
    }

    func put(_ body: Data, _ id: String) {
        lock.lock()
        defer { lock.unlock() }
        bodies[id] = body
    }
}

/// What lies between client and service: it hears everything, and does as it likes.
final class Wire: @unchecked Sendable {
    var app: (@Sendable (ServiceRequest) async throws -> ServiceResponse)?
    /// Answers in the service's place.
    var answer: ServiceResponse?
    var flipsAnswers = false
    var cutsAnswers = false
    var breaks = false
    var repeats = false
    var repeatedStatus: Int?
    private let lock = NSLock()
    private var heard: [Data] = []

    var seen: [Data] {
        lock.lock()
        defer { lock.unlock() }
        return heard
    }

    func carry(_ request: ServiceRequest) async throws -> ServiceResponse {
        hear(request, try await request.body.whole())
        if breaks { throw URLError(.networkConnectionLost) }
        if let answer { return answer }
        var response = try await required(app)(request)
        if repeats { repeatedStatus = try await required(app)(request).status }
        guard flipsAnswers || cutsAnswers else { return response }
        var body = try await response.body.whole()
        if flipsAnswers, !body.isEmpty { body[body.endIndex - 1] ^= 1 }
        if cutsAnswers { body = body.dropLast(30_000) }
        response.body = ServiceBody(body)
        return response
    }

    private func hear(_ request: ServiceRequest, _ body: Data) {
        lock.lock()
        defer { lock.unlock() }
        let head = request.fields.map { "\($0.name): \($0.value)\n" }.joined()
        heard.append(Data("\(request.method) \(request.pathAndQuery)\n\(head)".utf8) + body)
    }
}

final class WireProtocol: URLProtocol, @unchecked Sendable {
    static var wire: Wire?
    private let loading = Loading()

    override class func canInit(with request: URLRequest) -> Bool { true }

    override class func canonicalRequest(for request: URLRequest) -> URLRequest { request }

    override func startLoading() {
        let (wire, request) = (WireProtocol.wire, self.request)
        loading.start(self) {
            let answer = try await required(wire).carry(ServiceRequest(request))
            let fields = Dictionary(answer.fields.map { ($0.name, $0.value) }) { $1 }
            let url = try required(request.url)
            return (answer.body, try required(HTTPURLResponse(url: url, statusCode: answer.status, httpVersion: "HTTP/1.1", headerFields: fields)))
        }
    }

    override func stopLoading() {
        loading.stop()
    }
}

extension ServiceRequest {
    /// As a server's framework would have it.
    init(_ request: URLRequest) {
        let text = request.url?.absoluteString ?? ""
        var body = request.httpBody ?? Data()
        if let stream = request.httpBodyStream {
            stream.open()
            var buffer = [UInt8](repeating: 0, count: 65_536)
            var count = stream.read(&buffer, maxLength: buffer.count)
            while count > 0 {
                body.append(contentsOf: buffer.prefix(count))
                count = stream.read(&buffer, maxLength: buffer.count)
            }
            stream.close()
        }
        self.init(
            method: request.httpMethod ?? "GET",
            pathAndQuery: String(text.dropFirst(api.count)),
            fields: (request.allHTTPHeaderFields ?? [:]).map { HeaderField($0.key.lowercased(), $0.value) },
            body: body
        )
    }
}
