import Foundation
import SealwireRaw

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// A `URLSession` that seals: the same calls, and a policy that says what is done with which URL. A URL that no rule covers throws `Misuse`: nothing goes
/// in the clear.
///
/// - **Responses** are standard ones, with the inner status and fields.
/// - **Redirects** are refused and never followed; responses are never cached.
/// - **Cookies** are the platform's own: it sends them **outside** of exchanges, and signatures do not cover them. `Authorization` goes inside.
/// - **Request bodies** are held as a whole; ``upload(for:fromFile:options:)`` sends a file while memory stays small.
/// - **Timeouts** are the configuration's and the request's own; cancelling the task ends the call.
///
/// Throws `Unsealed` for an answer without the protection that the rule demands; `Rejected`, `NotRecipient`, `Truncated` and the others of
/// ``open(_:with:context:expect:part:)`` for one that does not open; `Expired` and `InvalidKey` if the service refuses the request's date or key; `Network`;
/// `Store` if `lastSeen` fails; `CancellationError`. Only what cannot have an effect twice is repeated, once, for a new service key. Source: SPEC §18 to §21.
///
/// ```swift
/// let session = try SealedSession(policy: policy, identity: alice, lastSeen: store)
/// let (note, response) = try await session.data(for: URLRequest(url: url))
/// ```
public final class SealedSession: Sendable {
    let origins: Set<String>
    private let caller: SealwireRaw.Caller
    private let session: URLSession
    private let arriving: ArrivingTasks
    private let maxBody: UInt64

    /// Signs with `identity`, and opens with it what is sealed to it; `keys` open in its place. `lastSeen` remembers versions, serials and pins: without it
    /// they are forgotten with the process, and a server may serve old versions to the next one. `maxBody` is how many bytes a body may have that is held
    /// as a whole: 64 MiB, unless told otherwise. The configuration is copied.
    ///
    /// Throws `Malformed`, `Misuse` or `InvalidKey` for a policy with an origin, pattern, pin or signer that is not one.
    public init(
        policy: Policy,
        identity: Identity? = nil,
        keys: (any Unlock)? = nil,
        lastSeen: (any SecretStore)? = nil,
        observer: (any Observer)? = nil,
        maxBody: UInt64? = nil,
        configuration: URLSessionConfiguration = .ephemeral
    ) throws {
        caller = try crossing {
            try SealwireRaw.Caller(
                policy: policy.raw,
                options: SealwireRaw.CallerOptions(
                    identity: identity?.raw,
                    keys: try keys.map { try rawKeyring($0) },
                    lastSeen: lastSeen.map { rawStore($0) },
                    observer: observer.map { OutsideObserver($0) },
                    maxBody: maxBody
                )
            )
        }
        self.maxBody = maxBody ?? 64 << 20
        origins = Set(policy.rules.map { $0.origin.lowercased() })
        let own = (configuration.copy() as? URLSessionConfiguration) ?? configuration
        own.urlCache = nil
        own.requestCachePolicy = .reloadIgnoringLocalCacheData
        arriving = ArrivingTasks()
        session = URLSession(configuration: own, delegate: arriving, delegateQueue: nil)
    }

    deinit {
        session.finishTasksAndInvalidate()
    }

    /// The body and the response, as `URLSession` has them.
    public func data(for request: URLRequest, options: CallOptions = CallOptions()) async throws -> (Data, HTTPURLResponse) {
        let answer = try await self.answer(for: request, options: options)
        return (answer.body, answer.response)
    }

    /// The body, the response, and what is known beside them: who wrote a sealed resource, what they said of it, the items of a list.
    public func answer(for request: URLRequest, options: CallOptions = CallOptions()) async throws -> SealedAnswer {
        try await collected(try await call(request, options, file: nil))
    }

    /// The body while it arrives, under a `streamed` rule piece by piece authenticated, **before** the end was seen: if that is cut off, the sequence throws
    /// `Truncated`. Other bodies are one piece, verified as a whole.
    public func bytes(for request: URLRequest, options: CallOptions = CallOptions()) async throws -> (SealedBytes, HTTPURLResponse) {
        switch try await call(request, options, file: nil) {
        case .whole(let answer): return (SealedBytes(pieces: Once(front: answer.body, of: { nil }, step: { _ in Data() })), answer.response)
        case .passing(let bytes, let response): return (bytes, response)
        }
    }

    /// Sends a file as the body. It is sealed into a temporary file first, so that memory stays small; the rule has to be for an exchange, and without `seal`.
    public func upload(
        for request: URLRequest,
        fromFile file: URL,
        options: CallOptions = CallOptions()
    ) async throws -> SealedAnswer {
        try await collected(try await call(request, options, file: file))
    }

    /// Forgets what is known of services' keys, so that they are fetched anew.
    public func forgetServiceKeys() {
        caller.forgetServiceKeys()
    }
}

/// What one request says of itself.
public struct CallOptions: Sendable {
    /// Who can read a sealed resource, in place of the rule's recipients: the complete list.
    public var to: [Recipient]?
    /// The version of a sealed resource, for readers to compare: count it up with every change. Once the service has taken it, this client takes no older
    /// one, and sends none (`Rejected`). What has no version counts as 0, so once a resource has versions every write of it needs one.
    public var version: UInt64?
    /// The context of a sealed resource, where the URL does not name its id: a POST to a collection.
    public var context: SealContext?

    public init(to: [Recipient]? = nil, version: UInt64? = nil, context: SealContext? = nil) {
        self.to = to
        self.version = version
        self.context = context
    }
}

/// A response, and what is known of it.
public struct SealedAnswer: @unchecked Sendable {
    public let body: Data
    public let response: HTTPURLResponse
    /// Who wrote a sealed resource: one of the rule's senders.
    public let signer: Signer?
    /// What its writer said about a sealed resource.
    public let about: About?
    /// The items of a list of sealed resources.
    public let list: [ListItem]?
}

/// One item of a list: what it holds, or why it does not open.
public struct ListItem: Sendable {
    /// The resource's id, as the list says; if the item opened, it is right.
    public let id: String
    public let opened: Result<Opened, SealwireError>
}

/// A body while it arrives. It is read once, by one task: every other reader is told `Misuse`.
public struct SealedBytes: AsyncSequence {
    public typealias Element = Data

    let pieces: Once

    public func makeAsyncIterator() -> PieceIterator {
        PieceIterator(pieces)
    }
}

extension SealedSession {
    enum Outcome {
        case whole(SealedAnswer)
        case passing(SealedBytes, HTTPURLResponse)
    }

    private func collected(_ outcome: Outcome) async throws -> SealedAnswer {
        switch outcome {
        case .whole(let answer):
            return answer
        case .passing(let bytes, let response):
            var body = Data()
            for try await piece in bytes {
                body.append(piece)
                guard UInt64(body.count) <= maxBody else {
                    throw SealwireError(.tooLarge, "too large: a response that is read as a whole")
                }
            }
            return SealedAnswer(body: body, response: response, signer: nil, about: nil, list: nil)
        }
    }

    /// Sends what the core says, and gives it what comes.
    func call(_ request: URLRequest, _ options: CallOptions, file: URL?) async throws -> Outcome {
        guard let url = request.url?.absoluteURL else { throw SealwireError(.misuse, "misuse: a request has a URL") }
        let asked = SealwireRaw.CallRequest(
            method: request.httpMethod ?? "GET",
            url: String(url.absoluteString.prefix { $0 != "#" }),
            fields: (request.allHTTPHeaderFields ?? [:]).map { SealwireRaw.Field(name: $0.key, value: Data($0.value.utf8)) },
            to: options.to.map { $0.map(\.raw) },
            version: options.version,
            context: options.context?.raw
        )
        let body: SealwireRaw.CallBody
        if file != nil {
            body = .streamed
        } else if let whole = try wholeBody(request, limit: maxBody) {
            body = .whole(bytes: try lent(whole))
        } else {
            body = .none
        }
        let started = try crossing { try caller.call(request: asked, body: body, now: now()) }
        do {
            return try await run(started, request, url, file)
        } catch {
            started.call.broke()
            // Whatever a call that was given up failed with.
            try Task.checkCancellation()
            throw error
        }
    }

    private func run(_ started: SealwireRaw.Started, _ request: URLRequest, _ url: URL, _ file: URL?) async throws -> Outcome {
        let call = started.call
        var step = started.step
        while true {
            guard case .send(let method, let target, let fields, let body, let upload) = step else {
                throw SealwireError(.internal, "internal: a step that nobody knows")
            }
            let outer = try outerRequest(request, method, target, fields)
            let arrivals = try await send(outer, body, upload, file)
            step = try await answer(of: call, from: arrivals, to: target)
            switch step {
            case .send, .read:
                continue
            case .pass(let status, let fields, let front):
                let bytes = SealedBytes(pieces: passing(front, call, arrivals))
                return .passing(bytes, try appResponse(url, status, fields))
            case .done(let status, let fields, let body, let signer, let about):
                return .whole(
                    SealedAnswer(
                        body: body,
                        response: try appResponse(url, status, fields),
                        signer: signer.map { Signer(text: $0) },
                        about: about.map { About($0) },
                        list: nil
                    )
                )
            case .list(let status, let fields):
                let response = try appResponse(url, status, fields)
                let list = try await items(of: call)
                return .whole(SealedAnswer(body: Data(), response: response, signer: nil, about: nil, list: list))
            }
        }
    }

    private func answer(of call: SealwireRaw.Call, from arrivals: Arrivals, to target: String) async throws -> SealwireRaw.CallStep {
        do {
            let response = try await arrivals.head()
            let redirected = response.url.map { $0.absoluteString != target } ?? false
            let status = UInt16(clamping: response.statusCode)
            var step = try crossing { try call.answered(status: status, fields: receivedFields(response), redirected: redirected) }
            while case .read = step {
                if !call.wantsMore() {
                    // What is refused already may have no end.
                    arrivals.cancel()
                    step = try crossing { try call.finish(now: now()) }
                } else if let piece = try await arrivals.piece() {
                    step = try crossing { try call.read(piece: try lent(piece)) }
                } else {
                    step = try crossing { try call.finish(now: now()) }
                }
            }
            return step
        } catch {
            arrivals.cancel()
            throw error
        }
    }

    private func items(of call: SealwireRaw.Call) async throws -> [ListItem] {
        var list: [ListItem] = []
        while let item = try crossing({ try call.item() }) {
            if let opened = item.opened {
                list.append(ListItem(id: item.id, opened: .success(Opened(opened))))
            } else {
                let code = item.failure.flatMap { SealwireError.Code(rawValue: $0.code) } ?? .internal
                list.append(ListItem(id: item.id, opened: .failure(SealwireError(code, item.failure?.text ?? ""))))
            }
            // Thousands of envelopes are seconds of work: others run between.
            try Task.checkCancellation()
            await Task.yield()
        }
        return list
    }

    private func send(_ request: URLRequest, _ body: Data, _ upload: SealwireRaw.Upload?, _ file: URL?) async throws -> Arrivals {
        var outer = request
        guard let upload, let file else {
            if !body.isEmpty { outer.httpBody = body }
            return arriving.start(session.dataTask(with: outer))
        }
        let sealed = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: sealed) }
        guard FileManager.default.createFile(atPath: sealed.path, contents: body) else {
            throw SealwireError(.store, "storage failed: a temporary file")
        }
        let (source, target) = (try FileHandle(forReadingFrom: file), try FileHandle(forWritingTo: sealed))
        defer {
            try? source.close()
            try? target.close()
        }
        try target.seekToEnd()
        while let piece = try source.nextPiece() {
            try Task.checkCancellation()
            try target.write(contentsOf: try crossing { try upload.push(piece: piece) })
        }
        try target.write(contentsOf: try crossing { try upload.finish() })
        outer.httpBodyStream = InputStream(url: sealed)
        let arrivals = arriving.start(session.dataTask(with: outer))
        // Until the answer begins the file is read.
        _ = try await arrivals.head()
        return arrivals
    }
}

/// What the wire gets: the app's own timeouts, and nothing else of its request.
private func outerRequest(_ asked: URLRequest, _ method: String, _ target: String, _ fields: [SealwireRaw.Field]) throws -> URLRequest {
    guard let url = URL(string: target), url.absoluteString == target else {
        throw SealwireError(.malformed, "malformed: not a URL")
    }
    var outer = URLRequest(url: url, cachePolicy: .reloadIgnoringLocalCacheData, timeoutInterval: asked.timeoutInterval)
    outer.httpMethod = method
    outer.httpShouldHandleCookies = asked.httpShouldHandleCookies
    outer.allowsCellularAccess = asked.allowsCellularAccess
    for field in fields {
        let value = String(decoding: field.value, as: UTF8.self)
        guard value.utf8.elementsEqual(field.value) else {
            throw SealwireError(.misuse, "misuse: a field outside that this platform cannot send")
        }
        outer.addValue(value, forHTTPHeaderField: field.name)
    }
    // What is sealed is not compressed on the way.
    if outer.value(forHTTPHeaderField: "accept-encoding") == nil { outer.setValue("identity", forHTTPHeaderField: "accept-encoding") }
    return outer
}

private func receivedFields(_ response: HTTPURLResponse) -> [SealwireRaw.Field] {
    response.allHeaderFields.compactMap { name, value in
        guard let name = name as? String, let value = value as? String else { return nil }
        return SealwireRaw.Field(name: name.lowercased(), value: Data(value.utf8))
    }
}

private func appResponse(_ url: URL, _ status: UInt16, _ fields: [SealwireRaw.Field]) throws -> HTTPURLResponse {
    var headers: [String: String] = [:]
    for field in fields {
        let value = String(decoding: field.value, as: UTF8.self)
        headers[field.name] = headers[field.name].map { $0 + ", " + value } ?? value
    }
    let made = HTTPURLResponse(url: url, statusCode: Int(status), httpVersion: "HTTP/1.1", headerFields: headers)
    guard let made else { throw SealwireError(.malformed, "malformed: a response that this platform does not take") }
    return made
}

/// The body as a whole. What comes through a `URLProtocol` has a stream in its place.
private func wholeBody(_ request: URLRequest, limit: UInt64) throws -> Data? {
    if let body = request.httpBody {
        guard UInt64(body.count) <= limit else { throw SealwireError(.tooLarge, "too large: a body that is sent as a whole") }
        return body
    }
    guard let stream = request.httpBodyStream else { return nil }
    stream.open()
    defer { stream.close() }
    var body = Data()
    var buffer = [UInt8](repeating: 0, count: 64 * 1024)
    while true {
        let count = stream.read(&buffer, maxLength: buffer.count)
        guard count >= 0 else { throw SealwireError(.misuse, "misuse: a body's stream that fails") }
        if count == 0 { return body }
        body.append(contentsOf: buffer.prefix(count))
        guard UInt64(body.count) <= limit else { throw SealwireError(.tooLarge, "too large: a body that is sent as a whole") }
    }
}

/// A body that is opened while it arrives. Who lets go of it wants no more.
private func passing(_ front: Data, _ call: SealwireRaw.Call, _ arrivals: Arrivals) -> Once {
    let awaited = Awaited(arrivals)
    return Once(front: front, of: { try await awaited.arrivals.piece() }) { piece in
        try crossing { try piece.map { try call.pass(piece: try lent($0)) } ?? call.passEnd() }
    }
}

private final class Awaited: Sendable {
    let arrivals: Arrivals

    init(_ arrivals: Arrivals) {
        self.arrivals = arrivals
    }

    deinit {
        arrivals.cancel()
    }
}
