import Foundation
import Sealwire
import XCTest

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// What the README shows runs here as it stands: package.sh makes each block a method, in which a name means what it does in this class.
final class ReadmeTests: XCTestCase, @unchecked Sendable {
    private var said: [String] = []
    private let kept = MemoryStore()
    private let serviceIdentity = try! Identity.generate()
    private var answered: ServiceResponse?
    let store = MemoryStore()
    var identity: Identity { serviceIdentity }
    var incoming = ServiceRequest(method: "GET", pathAndQuery: "/")
    var film = URL(fileURLWithPath: "/")
    let request = URLRequest(url: URL(string: "https://api.example.com/notes/17")!)

    override func tearDown() {
        WireProtocol.wire = nil
    }

    /// A block that no test takes is one that nobody runs.
    func testNoBlockIsLeftOut() {
        XCTAssertEqual(Self.count, 4)
    }

    func testTheFirstMessage() async throws {
        try await block1()
        XCTAssertEqual(said, ["meet me at noon"])
    }

    func testAnAPIIsWrappedByTheLinesThatTheDiffAdds() async throws {
        let (wire, asked) = (Wire(), Asked())
        let service = try Sealwire.SealedService(origin: "https://api.example.com", keys: .generate(), identity: serviceIdentity)
        wire.app = { request in
            try await service.handle(request) { request, _ in
                asked.hear(request.pathAndQuery)
                return ServiceResponse(status: 200, body: Data("a note".utf8))
            }
        }
        WireProtocol.wire = wire
        try await block2()
        XCTAssertEqual(asked.paths, ["/notes/17"])
    }

    func testAServiceStreams() async throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        film = folder.appendingPathComponent("film")
        try payload(300_000).write(to: film)
        let wire = Wire()
        wire.app = { request in
            self.incoming = request
            try await self.block3()
            return try required(self.answered)
        }
        WireProtocol.wire = wire
        let origin = "https://api.example.com"
        let rule = Rule(origin: origin, path: "/{rest..}", exchange: .inPlace(), streamed: true)
        let session = try SealedSession(policy: Policy(services: [origin: .pins(["sealwire-pin1…"])], rules: [rule]))
        var post = URLRequest(url: try required(URL(string: origin + "/films/4")))
        post.httpMethod = "POST"
        post.httpBody = payload(200_000)
        let (body, _) = try await session.data(for: post)
        XCTAssertEqual(body, payload(300_000))
        incoming = ServiceRequest(method: "GET", pathAndQuery: "/notes/17")
        try await block3()
        XCTAssertEqual(answered?.status, 400)
    }

    func testKeysAreKept() async throws {
        try await block4()
        let alice = try required(try Identity.load(from: kept, name: "alice"))
        try await block4()
        XCTAssertEqual(try Identity.load(from: kept, name: "alice")?.signer, alice.signer)
    }

    func print(_ text: String) {
        said.append(text)
    }

    /// The real one needs an app that Apple's platform knows.
    func KeychainStore(service: String) -> MemoryStore {
        XCTAssertEqual(service, "com.example.notes")
        return kept
    }

    /// To the service of this test, whose pin no README knows.
    func SealedSession(policy: Policy) throws -> Sealwire.SealedSession {
        var policy = policy
        XCTAssertEqual(policy.services, ["https://api.example.com": .pins(["sealwire-pin1…"])])
        policy.services["https://api.example.com"] = .pins([serviceIdentity.recipient.pin.description])
        let configuration = URLSessionConfiguration.ephemeral
        configuration.protocolClasses = [WireProtocol.self]
        return try Sealwire.SealedSession(policy: policy, configuration: configuration)
    }

    /// One whose answer is looked at.
    func SealedService(origin: String, keys: ServiceKeys, identity: Identity, plain: [String], stream: [String]) throws -> Watched {
        Watched(service: try Sealwire.SealedService(origin: origin, keys: keys, identity: identity, plain: plain, stream: stream)) { self.answered = $0 }
    }
}

struct Watched {
    let service: SealedService
    let tell: (ServiceResponse) -> Void

    func handle(_ request: ServiceRequest, app: (ServiceRequest, Signer?) async throws -> ServiceResponse) async throws -> ServiceResponse {
        let response = try await service.handle(request, app: app)
        tell(response)
        return response
    }
}

private final class Asked: @unchecked Sendable {
    private let lock = NSLock()
    private var heard: [String] = []

    var paths: [String] {
        lock.lock()
        defer { lock.unlock() }
        return heard
    }

    func hear(_ path: String) {
        lock.lock()
        defer { lock.unlock() }
        heard.append(path)
    }
}
