import Foundation
import Sealwire
import XCTest

/// What each language seals, every other opens: `tests/matrix/`.
final class MatrixTests: XCTestCase {
    /// What others have sealed, and `package.sh` was given.
    func testWhatOthersHaveSealed() async throws {
        let cases = try Vector.all(in: "Matrix")
        if cases.isEmpty { throw XCTSkip("packed without SEALWIRE_MATRIX") }
        // A share that lacks a case would be no news otherwise.
        let wanted = try Case.all().map(\.name).sorted()
        for (language, share) in Dictionary(grouping: cases, by: { String($0.name.prefix { $0 != "-" }) }) {
            XCTAssertEqual(share.map { String($0.name.dropFirst(language.count + 1).dropLast(".json".count)) }.sorted(), wanted, language)
        }
        for (name, vector) in cases {
            let outcome = try await vector.judge()
            XCTAssertEqual(outcome, "ok", name)
        }
    }

    /// Swift's share, which SEALWIRE_MATRIX_OUT gets; here Swift opens it itself.
    func testSwiftsShare() async throws {
        let cases = try Case.all()
        XCTAssertGreaterThan(cases.count, 9)
        let given = ProcessInfo.processInfo.environment["SEALWIRE_MATRIX_OUT"].map { URL(fileURLWithPath: $0) }
        for one in cases {
            let sealed = try await one.sealed()
            let vector = try JSONDecoder().decode(Vector.self, from: sealed)
            let outcome = try await vector.judge()
            XCTAssertEqual(outcome, "ok", one.name)
            try given.map { try sealed.write(to: $0.appendingPathComponent("swift-\(one.name).json")) }
        }
    }
}

/// What to seal.
private struct Case: Decodable {
    let name: String
    let to: String
    let length: Int
    let context: [Vector.Value]
    let aead: String?
    let padded: Bool?
    let part: String?
    let sign: Bool?
    let streamed: Bool?
    let metadata: [String: Vector.Value]?
    let created: UInt64?
    let contentType: String?
    let filename: String?

    enum CodingKeys: String, CodingKey {
        case name, to, length, context, aead, padded, part, sign, streamed, metadata, created, filename
        case contentType = "content_type"
    }

    static func all() throws -> [Case] {
        let url = try required(Bundle.module.url(forResource: "cases", withExtension: "json"))
        return try JSONDecoder().decode([Case].self, from: Data(contentsOf: url))
    }

    func sealed() async throws -> Data {
        let (reader, unlock) = try readerAndUnlock()
        let signer = sign == true ? try Identity.generate(kem: .x25519) : nil
        guard case .text(let namespace)? = context.first else { throw Failure("a case without a namespace") }
        let context = SealContext(namespace, fields: self.context.dropFirst().map(\.field))
        var options = SealOptions(
            sign: signer,
            metadata: (metadata ?? [:]).mapValues(\.metadata),
            created: created,
            contentType: contentType,
            filename: filename,
            padded: padded ?? true,
            part: part ?? ""
        )
        if let aead { options.aead = aead == "Aes256Gcm" ? .aes256Gcm : .chaCha20Poly1305 }
        let plain = Data((0..<length).map { UInt8($0 * 7 % 251) })
        let envelope: Data
        if streamed == true {
            envelope = try await Pieces(plain, by: 10_000).sealed(to: reader, context: context, options: options).whole()
        } else {
            envelope = try seal(plain, to: reader, context: context, options: options)
        }
        let name = signer?.signer.description
        return try JSONEncoder().encode(
            Sealed(
                about: "Sealed in Swift: \(self.name).",
                envelope: toText(envelope),
                unlock: unlock,
                context: self.context,
                part: part ?? "",
                signers: name.map { [$0] },
                plaintext: hex(plain),
                signer: name,
                metadata: metadata ?? [:],
                created: created,
                contentType: contentType,
                filename: filename,
                // Only what is signed says to whom.
                addressedToMe: name == nil ? "unstated" : "yes"
            )
        )
    }

    private func readerAndUnlock() throws -> (Reader, [String: String]) {
        switch to {
        case "passphrase":
            let text = "correct horse battery staple"
            return (.passphrase(try Passphrase(text, costs: Argon2Costs(memory: 8192, passes: 1, lanes: 1))), ["passphrase": text])
        case "key":
            let key = try SymmetricKey.generate()
            return (.symmetric(key), ["key": hex(key.reveal())])
        default:
            let identity = try Identity.generate(kem: to == "X25519" ? .x25519 : .xWing)
            let reader: Reader = to == "anonymous" ? .anonymous(identity.recipient) : .recipient(identity.recipient)
            return (reader, ["identity": String(decoding: identity.reveal(), as: UTF8.self)])
        }
    }
}

/// In the form of `tests/vectors/envelope/`: what is nothing is said to be.
private struct Sealed: Encodable {
    let about: String
    let envelope: String
    let unlock: [String: String]
    let context: [Vector.Value]
    let part: String
    let signers: [String]?
    let plaintext: String
    let signer: String?
    let metadata: [String: Vector.Value]
    let created: UInt64?
    let contentType: String?
    let filename: String?
    let addressedToMe: String

    enum CodingKeys: String, CodingKey {
        case about, spec, operation, expect, envelope, unlock, context, part, signers, plaintext, signer, metadata, created, filename
        case contentType = "content_type"
        case addressedToMe = "addressed_to_me"
    }

    func encode(to encoder: any Encoder) throws {
        var file = encoder.container(keyedBy: CodingKeys.self)
        try file.encode(about, forKey: .about)
        try file.encode("matrix", forKey: .spec)
        try file.encode("open", forKey: .operation)
        try file.encode("ok", forKey: .expect)
        try file.encode(envelope, forKey: .envelope)
        try file.encode(unlock, forKey: .unlock)
        try file.encode(context, forKey: .context)
        try file.encode(part, forKey: .part)
        try file.encode(signers, forKey: .signers)
        try file.encode(plaintext, forKey: .plaintext)
        try file.encode(signer, forKey: .signer)
        try file.encode(metadata, forKey: .metadata)
        try file.encode(created, forKey: .created)
        try file.encode(contentType, forKey: .contentType)
        try file.encode(filename, forKey: .filename)
        try file.encode(addressedToMe, forKey: .addressedToMe)
    }
}

extension Vector.Value: Encodable {
    func encode(to encoder: any Encoder) throws {
        switch self {
        case .text(let text):
            var value = encoder.singleValueContainer()
            try value.encode(text)
        case .number(let number):
            var value = encoder.singleValueContainer()
            try value.encode(number)
        case .bytes(let bytes):
            var value = encoder.container(keyedBy: HexKey.self)
            try value.encode(hex(bytes), forKey: .hex)
        }
    }
}
