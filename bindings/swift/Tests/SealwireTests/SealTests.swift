import Foundation
import Sealwire
import XCTest

final class SealTests: XCTestCase {
    func testEveryOptionComesBack() throws {
        let people = try People()
        let options = SealOptions(
            sign: people.alice,
            metadata: ["version": 3, "kind": "note", "tag": .bytes(Data([0, 255]))],
            created: 1_700_000_000,
            contentType: "text/plain",
            filename: "note.txt",
            aead: .chaCha20Poly1305,
            padded: false,
            part: "body"
        )
        let readers: [Reader] = [.recipient(people.bob.recipient), .anonymous(people.alice.recipient)]
        let envelope = try seal(Data("hello Bob".utf8), to: readers, context: note, options: options)

        let opened = try open(envelope, with: people.bob, context: note, expect: [people.alice.signer], part: "body")
        XCTAssertEqual(try opened.text(), "hello Bob")
        XCTAssertEqual(opened.signer, people.alice.signer)
        XCTAssertEqual(opened.about.metadata, options.metadata)
        XCTAssertEqual(opened.about.version, 3)
        XCTAssertEqual(opened.about.created, 1_700_000_000)
        XCTAssertEqual(opened.about.contentType, "text/plain")
        XCTAssertEqual(opened.about.filename, "note.txt")
        XCTAssertEqual(opened.about.addressedToMe, .yes)
        XCTAssertEqual(try open(envelope, with: people.alice, context: note, part: "body").about.addressedToMe, .no)

        let header = try inspect(envelope)
        XCTAssertEqual(header.unverifiedAead, .chaCha20Poly1305)
        XCTAssertFalse(header.unverifiedPadded)
        XCTAssertEqual(header.unverifiedMetadata, options.metadata)
        XCTAssertEqual(header.unverifiedID.count, 32)
        XCTAssertEqual(header.unverifiedSlots.count, 2)
        // Unpadded: the length of text, a chunk's tag and the body's head can be told.
        XCTAssertEqual(try seal(Data(), to: people.bob.recipient, context: note, options: .init(padded: false)).count + 9,
                       try seal(Data("hello Bob".utf8), to: people.bob.recipient, context: note, options: .init(padded: false)).count)
    }

    func testEveryKindOfKey() throws {
        let people = try People()
        let passphrase = try Passphrase("correct horse", costs: Argon2Costs(memory: 8, passes: 1, lanes: 1))
        let key = try SymmetricKey.generate()
        let service = XorService()
        let readers: [Reader] = [.recipient(people.bob.recipient), .passphrase(passphrase), .symmetric(key), .service(service)]
        let envelope = try seal(Data("to all".utf8), to: readers, context: note)
        let again = try SymmetricKey(bytes: key.reveal())
        XCTAssertEqual(again.id, key.id)
        let keys: [any Unlock] = [people.bob, passphrase, again, UnlockKey.service(service), Keyring(people.alice, people.bob)]
        for one in keys {
            XCTAssertEqual(try open(envelope, with: one, context: note).plaintext, Data("to all".utf8))
        }
        XCTAssertEqual(service.calls, 2)

        let mixed: [Reader] = [.recipient(people.bob.recipient), .recipient(people.carol.recipient)]
        XCTAssertEqual(code { _ = try seal(Data(), to: mixed, context: note) }, .misuse)
        let classical = try seal(Data(), to: [people.bob.recipient, people.carol.recipient], context: note, options: .init(allowClassical: true))
        XCTAssertNoThrow(try open(classical, with: people.carol, context: note))
    }

    func testRewrapAndReseal() throws {
        let people = try People()
        let envelope = try seal(Data("plan".utf8), to: people.bob.recipient, context: note, options: .init(sign: people.alice, contentType: "text/plain"))
        let shared = try rewrap(envelope, with: people.bob, context: note, to: [people.bob.recipient, people.alice.recipient])
        XCTAssertEqual(try open(shared, with: people.alice, context: note).signer, people.alice.signer)
        XCTAssertEqual(code { _ = try rewrap(envelope, with: people.bob, context: SealContext("notes", "18"), to: people.bob.recipient) }, .rejected)

        XCTAssertEqual(code { _ = try reseal(shared, with: people.bob, context: note, to: people.bob.recipient) }, .misuse)
        let anew = try reseal(shared, with: people.bob, context: note, to: people.bob.recipient, options: .init(sign: people.bob))
        let opened = try open(anew, with: people.bob, context: note)
        XCTAssertEqual(opened.signer, people.bob.signer)
        XCTAssertEqual(opened.about.contentType, "text/plain")
        XCTAssertEqual(code { _ = try open(anew, with: people.alice, context: note) }, .notRecipient)
    }

    func testHeadersAndBodiesApart() throws {
        let people = try People()
        let envelope = try seal(Data("apart".utf8), to: people.bob.recipient, context: note)
        let (header, body) = try split(envelope)
        XCTAssertEqual(header.count, try inspect(envelope).length)
        XCTAssertEqual(join(header: header, body: body), envelope)
        XCTAssertEqual(try openDetached(header: header, body: body, with: people.bob, context: note).plaintext, Data("apart".utf8))
        let new = try rewrapHeader(header, bodyFront: body.prefix(56), with: people.bob, context: note, to: people.alice.recipient)
        XCTAssertEqual(try openDetached(header: new, body: body, with: people.alice, context: note).plaintext, Data("apart".utf8))

        let parts = [Part("text", Data("see attachment".utf8)), Part("image", payload(40_000))]
        let sealed = try sealParts(parts, to: people.bob.recipient, context: note)
        for (part, body) in zip(parts, sealed.bodies) {
            let opened = try openDetached(header: sealed.header, body: body, with: people.bob, context: note, part: part.name)
            XCTAssertEqual(opened.plaintext, part.payload)
        }
        XCTAssertEqual(try fromText(toText(envelope)), envelope)
        XCTAssertEqual(toTextOf([0xfb, 0xff]), "-_8")
    }

    func testUnlockedElsewhere() throws {
        // The key service's slot is unlocked by hand, as a service across the network would.
        let service = XorService()
        let envelope = try seal(Data("elsewhere".utf8), to: Reader.service(service), context: note)
        let slot = try required(try inspect(envelope).unverifiedSlots.first)
        guard case .external(let name, let ct) = slot.kind else { return XCTFail("\(slot.kind)") }
        XCTAssertEqual(name, service.service)
        let candidate = try required(try service.unwrap(ct, binding: slot.binding))
        let key = try ContentKey(envelope: envelope, candidate: candidate)
        XCTAssertEqual(try open(envelope, with: key, context: note).plaintext, Data("elsewhere".utf8))
        XCTAssertEqual(code { _ = try ContentKey(envelope: envelope, candidate: Data(count: 31)) }, .invalidKey)
    }

    func testTextFormsAndPins() throws {
        let people = try People()
        let (recipient, pasted) = (people.bob.recipient, try Recipient.parse(people.bob.recipient.description))
        XCTAssertEqual(pasted, recipient)
        XCTAssertEqual(pasted.hashValue, recipient.hashValue)
        XCTAssertNotEqual(recipient, people.alice.recipient)
        XCTAssertEqual(recipient.kem, .xWing)
        XCTAssertEqual(people.carol.recipient.kem, .x25519)
        XCTAssertEqual(recipient.fingerprint.bytes.count, 32)
        XCTAssertEqual(recipient.fingerprint.description.count, 39)
        let pin = try Pin.parse(recipient.pin.description)
        XCTAssertNoThrow(try pin.check(recipient))
        XCTAssertEqual(code { try pin.check(people.alice.recipient) }, .invalidKey)
        XCTAssertEqual(try Signer.parse(people.bob.signer.description), people.bob.signer)
        XCTAssertEqual(try people.bob.signer.keyID.count, 43)
        let again = try Identity.parse(String(decoding: people.bob.reveal(), as: UTF8.self))
        XCTAssertEqual(again.recipient, recipient)
        let file = "# two\n\(String(decoding: people.bob.reveal(), as: UTF8.self))\n\n\(String(decoding: people.carol.reveal(), as: UTF8.self))\n"
        XCTAssertEqual(try Identity.parseFile(file).map(\.recipient), [people.bob.recipient, people.carol.recipient])
        // Nothing that prints it shows it.
        var dumped = ""
        dump(people.bob, to: &dumped)
        for shown in [dumped, "\(people.bob)", String(reflecting: people.bob)] {
            XCTAssertFalse(shown.contains("identity1"), shown)
        }
    }

    private func toTextOf(_ bytes: [UInt8]) -> String? {
        try? toText(Data(bytes))
    }
}

/// A key service that hides nothing.
final class XorService: KeyService, @unchecked Sendable {
    let service = "test-kms"
    private(set) var calls = 0

    func wrap(_ contentKey: Data, binding: Data) throws -> Data {
        calls += 1
        return Data(contentKey.map { $0 ^ 0x5a })
    }

    func unwrap(_ wrapped: Data, binding: Data) throws -> Data? {
        calls += 1
        return Data(wrapped.map { $0 ^ 0x5a })
    }
}
