import Foundation
import Sealwire
import XCTest

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// What the README shows runs here as it stands: package.sh makes each block a method, in which a name means what it does in this class.
final class ReadmeTests: XCTestCase {
    private var said: [String] = []
    private let kept = MemoryStore()
    private let serviceIdentity = try! Identity.generate()
    let request = URLRequest(url: URL(string: "https://api.example.com/notes/17")!)

    override func tearDown() {
        WireProtocol.wire = nil
    }

    /// A block that no test takes is one that nobody runs.
    func testNoBlockIsLeftOut() {
        XCTAssertEqual(Self.count, 3)
    }

    func testTheFirstMessage() async throws {
        try await block1()
        XCTAssertEqual(said, ["meet me at noon"])
    }

    func testAnAPIIsWrappedByTheLinesThatTheDiffAdds() async throws {
        let (wire, asked) = (Wire(), Asked())
        let service = try SealedService(origin: "https://api.example.com", keys: .generate(), identity: serviceIdentity)
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

    func testKeysAreKept() async throws {
        try await block3()
        let alice = try required(try Identity.load(from: kept, name: "alice"))
        try await block3()
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
