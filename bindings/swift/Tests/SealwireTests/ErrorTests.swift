import Foundation
import Sealwire
import XCTest

final class ErrorTests: XCTestCase {
    func testWhatIsAlteredIsRefusedByCode() throws {
        let people = try People()
        let envelope = try seal(payload(40_000), to: people.bob.recipient, context: note, options: .init(sign: people.alice))
        let length = try inspect(envelope).length
        let opens = { (envelope: Data) in code { _ = try open(envelope, with: people.bob, context: note) } }

        XCTAssertNil(opens(envelope))
        // Cut off: at every kind of place.
        for cut in [0, 8, 9, 40, length - 1, length, length + 55, length + 56] {
            XCTAssertEqual(opens(envelope.prefix(cut)), .truncated, "\(cut)")
        }
        XCTAssertEqual(opens(envelope.dropLast(1)), .rejected)
        XCTAssertEqual(opens(envelope + [0]), .rejected)
        XCTAssertEqual(opens(envelope + envelope), .rejected)
        XCTAssertEqual(opens(Data("not an envelope at all".utf8)), .malformed)
        // Flipped: in the body, and in the slot.
        for at in [length, length + 60, envelope.count - 1] {
            var flipped = envelope
            flipped[flipped.startIndex + at] ^= 1
            XCTAssertEqual(opens(flipped), .rejected, "\(at)")
        }
        // Chunks in another order.
        let (chunk, first) = (16 * 1024 + 16, length + 56)
        var reordered = envelope.prefix(first) + envelope[(first + chunk)..<(first + 2 * chunk)]
        reordered += envelope[first..<(first + chunk)] + envelope[(first + 2 * chunk)...]
        XCTAssertEqual(reordered.count, envelope.count)
        XCTAssertEqual(opens(Data(reordered)), .rejected)
        // A header that claims too much.
        var claims = envelope.prefix(9)
        claims.append(contentsOf: [0x5b, 0, 0, 0, 0xff, 0, 0, 0, 0])
        XCTAssertEqual(opens(Data(claims)), code { _ = try inspect(Data(claims)) })
        // A slice, whose first index is not 0, is an envelope too.
        XCTAssertNil(opens((Data([1, 2, 3]) + envelope).dropFirst(3)))
    }

    func testWhoAndWhatFor() throws {
        let people = try People()
        let envelope = try seal(Data("x".utf8), to: people.bob.recipient, context: note)
        XCTAssertEqual(code { _ = try open(envelope, with: people.alice, context: note) }, .notRecipient)
        XCTAssertEqual(code { _ = try open(envelope, with: people.bob, context: SealContext("notes", 17)) }, .rejected)
        XCTAssertEqual(code { _ = try open(envelope, with: people.bob, context: note, part: "other") }, .rejected)
        XCTAssertEqual(code { _ = try open(envelope, with: people.bob, context: note, expect: [people.alice.signer]) }, .rejected)
        XCTAssertEqual(code { _ = try open(envelope, with: people.bob, context: note, expect: []) }, .rejected)
        XCTAssertEqual(code { _ = try open(envelope, with: Keyring(), context: note) }, .notRecipient)
        XCTAssertEqual(code { _ = try seal(Data(), to: [Recipient](), context: note) }, .misuse)
        XCTAssertEqual(code { _ = try seal(Data(), to: people.bob.recipient, context: SealContext("", "17")) }, .misuse)
        XCTAssertEqual(code { _ = try Recipient.parse("sealwire1nothing") }, .invalidKey)
        XCTAssertEqual(code { _ = try Passphrase("") }, .misuse)
        XCTAssertEqual(code { _ = try fromText("a=") }, .malformed)
    }

    func testTheTextIsSafeAndTheCodesAreKnown() throws {
        do {
            _ = try Identity.parse("sealwire-identity1secret")
            XCTFail("that is none")
        } catch let error as SealwireError {
            XCTAssertFalse(error.description.contains("secret"))
            XCTAssertEqual(error.localizedDescription, error.text)
            XCTAssertEqual("\(error)", error.text)
            XCTAssertFalse(error.text.isEmpty)
        }
        XCTAssertEqual(SealwireError.Code.allCases.count, 14)
        XCTAssertThrowsError(try Opened.notText())
    }

    func testACallbacksErrorKeepsItsCode() throws {
        struct Other: Error {}
        let people = try People()
        for (thrown, expected) in [(SealwireError(.expired), .expired), (Other(), .store)] as [(any Error, SealwireError.Code)] {
            let service = FailingService(error: thrown)
            XCTAssertEqual(code { _ = try seal(Data(), to: Reader.service(service), context: note) }, expected)
            XCTAssertEqual(code { try people.alice.save(in: FailingStore(error: thrown), name: "alice") }, expected)
            XCTAssertEqual(code { _ = try Identity.load(from: FailingStore(error: thrown), name: "alice") }, expected)
        }
    }
}

private struct FailingService: KeyService {
    let error: any Error
    var service: String { "failing" }
    func wrap(_ contentKey: Data, binding: Data) throws -> Data { throw error }
    func unwrap(_ wrapped: Data, binding: Data) throws -> Data? { throw error }
}

private struct FailingStore: SecretStore {
    let error: any Error
    func save(_ secret: Data, name: String) throws { throw error }
    func load(name: String) throws -> Data? { throw error }
    func delete(name: String) throws { throw error }
}

extension Opened {
    /// Reads a payload that is no text.
    static func notText() throws -> String {
        let bob = try Identity.generate(kem: .x25519)
        let envelope = try seal(Data([0xff, 0xfe]), to: bob.recipient, context: note)
        return try open(envelope, with: bob, context: note).text()
    }
}
