import Foundation
import Sealwire

/// A case of `tests/vectors/envelope/`: one file, one outcome.
struct Vector: Decodable {
    let operation: String
    let expect: String
    let envelope: String?
    let unlock: Keys?
    let context: [Value]?
    let part: String?
    let signers: [String]?
    let plaintext: String?
    let plaintextLength: Int?
    let signer: String?
    let metadata: [String: Value]?
    let created: UInt64?
    let contentType: String?
    let filename: String?
    let addressedToMe: String?
    let text: String?
    let fingerprint: String?
    let bytes: String?

    enum CodingKeys: String, CodingKey {
        case operation, expect, envelope, unlock, context, part, signers, plaintext, signer, metadata, created, filename, text, fingerprint, bytes
        case plaintextLength = "plaintext_len"
        case contentType = "content_type"
        case addressedToMe = "addressed_to_me"
    }

    struct Keys: Decodable {
        let identity: String?
        let passphrase: String?
        let key: String?
        let identities: [String]?
        let keyring: [Keys]?

        func unlock() throws -> any Unlock {
            if let identity { return try Identity.parse(identity) }
            if let passphrase { return try Passphrase(passphrase) }
            if let key { return try SymmetricKey(bytes: unhex(key)) }
            let identities = try (self.identities ?? []).map { try Identity.parse($0) as any Unlock }
            return Keyring(identities + (try (keyring ?? []).map { try $0.unlock() }))
        }
    }

    /// Text, a number, or bytes.
    enum Value: Decodable, Equatable {
        case text(String)
        case number(UInt64)
        case bytes(Data)

        init(from decoder: any Decoder) throws {
            if let bytes = try? decoder.container(keyedBy: HexKey.self) {
                self = .bytes(unhex(try bytes.decode(String.self, forKey: .hex)))
            } else if let number = try? decoder.singleValueContainer().decode(UInt64.self) {
                self = .number(number)
            } else {
                self = .text(try decoder.singleValueContainer().decode(String.self))
            }
        }

        enum HexKey: CodingKey { case hex }

        var field: SealContext.Field {
            switch self {
            case .text(let text): return .text(text)
            case .number(let number): return .number(number)
            case .bytes(let bytes): return .bytes(bytes)
            }
        }

        var metadata: MetadataValue {
            switch self {
            case .text(let text): return .text(text)
            case .number(let number): return .number(number)
            case .bytes(let bytes): return .bytes(bytes)
            }
        }
    }

    /// The files of a folder of this bundle, with their names.
    static func all(in folder: String) throws -> [(name: String, vector: Vector)] {
        let url = try required(Bundle.module.resourceURL).appendingPathComponent(folder)
        let files = try FileManager.default.contentsOfDirectory(at: url, includingPropertiesForKeys: nil)
        return try files.filter { $0.pathExtension == "json" }.sorted { $0.path < $1.path }.map {
            ($0.lastPathComponent, try JSONDecoder().decode(Vector.self, from: Data(contentsOf: $0)))
        }
    }

    /// The code of the outcome; an `ok` that gives something else than the file says is another text.
    func judge() async throws -> String {
        do {
            return try await isAsItSays() ? "ok" : "ok, but different"
        } catch let error as SealwireError {
            return error.code.rawValue
        }
    }

    private func isAsItSays() async throws -> Bool {
        switch operation {
        case "open": return try await opens()
        case "recipient": return hex(try Recipient.parse(required(text)).fingerprint.bytes) == fingerprint
        case "pin": return try Pin.parse(required(text)).description == text
        case "identity": return hex(try Identity.parse(required(text)).recipient.fingerprint.bytes) == fingerprint
        case "text": return hex(try fromText(required(text))) == bytes
        default: throw Failure("an operation that nobody knows")
        }
    }

    private func opens() async throws -> Bool {
        let sealed = try fromText(required(envelope))
        let keys = try required(unlock).unlock()
        var fields = try required(context).map(\.field)
        // Without a namespace there is an empty one, which is refused.
        var namespace = ""
        if !fields.isEmpty, case .text(let text) = fields.removeFirst() { namespace = text }
        let context = SealContext(namespace, fields: fields)
        let (expect, part) = (try signers.map { try $0.map { try Signer.parse($0) } }, part ?? "")

        let streamed = await Streamed(sealed, keys, context, expect, part)
        let ranged = await Result { try await ranges(sealed, keys, context, expect, part) }
        let opened: Opened
        do {
            opened = try open(sealed, with: keys, context: context, expect: expect, part: part)
        } catch let error as SealwireError {
            // The stream says the same, and what came out of it before were whole chunks, which were authenticated.
            guard streamed.error?.code == error.code, streamed.plaintext.count % (16 * 1024) == 0 else {
                throw Failure("one-shot: \(error), streamed: \(String(describing: streamed.error)) after \(streamed.plaintext.count) bytes")
            }
            throw error
        }
        if let error = streamed.error { throw Failure("only the stream fails: \(error)") }
        guard streamed.plaintext == opened.plaintext, try ranged.get() == opened.plaintext else { throw Failure("three readers, two payloads") }
        guard streamed.finished?.signer == opened.signer, streamed.finished?.about == opened.about else {
            throw Failure("two readers, two signers")
        }
        return matches(opened)
    }

    private func matches(_ opened: Opened) -> Bool {
        let about = opened.about
        let payload = plaintext.map { $0 == hex(opened.plaintext) } ?? (plaintextLength == opened.plaintext.count)
        return payload
            && opened.signer?.description == signer
            && String(describing: about.addressedToMe) == addressedToMe
            && about.metadata == (metadata ?? [:]).mapValues(\.metadata)
            && about.created == created
            && about.contentType == contentType
            && about.filename == filename
    }
}

/// What a stream in two pieces, the first within the header, comes to.
private struct Streamed {
    var plaintext = Data()
    var finished: Finished?
    var error: SealwireError?

    init(_ sealed: Data, _ keys: any Unlock, _ context: SealContext, _ expect: [Signer]?, _ part: String) async {
        let opening = Pieces([sealed.prefix(7), sealed.dropFirst(7)]).opened(with: keys, context: context, expect: expect, part: part)
        do {
            for try await piece in opening { plaintext.append(piece) }
            finished = try opening.finished
        } catch {
            self.error = error as? SealwireError ?? SealwireError(.internal, "\(error)")
        }
    }
}

/// Two halves by random access.
private func ranges(_ sealed: Data, _ keys: any Unlock, _ context: SealContext, _ expect: [Signer]?, _ part: String) async throws -> Data {
    let blob = try await SealedBlob.open(DataSource(sealed), with: keys, context: context, expect: expect, part: part)
    let middle = blob.length / 2
    return try await blob.read(0..<middle) + blob.read(middle..<blob.length)
}

extension Result where Failure == any Error {
    init(_ body: () async throws -> Success) async {
        do { self = .success(try await body()) } catch { self = .failure(error) }
    }
}
