import Foundation
import Sealwire
import XCTest

final class StoreTests: XCTestCase {
    func testStores() throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let key = try SymmetricKey.generate()
        let passphrase = try Passphrase("correct horse", costs: Argon2Costs(memory: 8, passes: 1, lanes: 1))
        let stores: [any SecretStore] = [
            MemoryStore(),
            try FileStore(folder: folder.appendingPathComponent("key"), key: key),
            try FileStore(folder: folder.appendingPathComponent("passphrase"), passphrase: passphrase),
            OwnStore(),
        ]
        for store in stores {
            let alice = try Identity.generate()
            XCTAssertNil(try Identity.load(from: store, name: "alice"))
            try alice.save(in: store, name: "alice")
            XCTAssertEqual(try Identity.load(from: store, name: "alice")?.recipient, alice.recipient)
            XCTAssertEqual(try store.load(name: "alice"), alice.reveal())
            let bob = try Identity.generate(kem: .x25519)
            try bob.save(in: store, name: "alice")
            XCTAssertEqual(try Identity.load(from: store, name: "alice")?.recipient, bob.recipient)
            try store.save(Data("not an identity".utf8), name: "other")
            XCTAssertEqual(code { _ = try Identity.load(from: store, name: "other") }, .invalidKey)
            try store.delete(name: "alice")
            try store.delete(name: "alice")
            XCTAssertNil(try store.load(name: "alice"))
        }
        XCTAssertEqual(code { try stores[1].save(Data(), name: "../alice") }, .misuse)
        // Another key opens none of it, and what lies there says nothing.
        let other = try FileStore(folder: folder.appendingPathComponent("key"), key: .generate())
        XCTAssertNotNil(code { _ = try other.load(name: "other") })
        let files = try FileManager.default.contentsOfDirectory(at: folder.appendingPathComponent("key"), includingPropertiesForKeys: nil)
        XCTAssertFalse(files.isEmpty)
        for file in files { XCTAssertNil(try Data(contentsOf: file).range(of: Data("not an identity".utf8))) }
    }
}

private final class OwnStore: SecretStore, @unchecked Sendable {
    private let lock = NSLock()
    private var secrets: [String: Data] = [:]

    func save(_ secret: Data, name: String) throws {
        lock.lock()
        defer { lock.unlock() }
        secrets[name] = secret
    }

    func load(name: String) throws -> Data? {
        lock.lock()
        defer { lock.unlock() }
        return secrets[name]
    }

    func delete(name: String) throws {
        lock.lock()
        defer { lock.unlock() }
        secrets[name] = nil
    }
}
