import Foundation
import SealwireRaw

/// The private keys of a service, which clients seal their requests to.
///
/// Keys live for 7 days. Of several processes **exactly one** rotates (once a day) and saves; the others ``reload(from:name:)`` more often than every hour: two
/// that rotate would give two keys one id. They go on to be changed here when a service has them. Source: SPEC §19.
///
/// ```swift
/// let keys = try ServiceKeys.load(from: store, name: "api") ?? ServiceKeys.generate()
/// try keys.save(in: store, name: "api")
/// ```
public final class ServiceKeys: Sendable {
    let raw: SealwireRaw.ServiceKeys

    init(_ raw: SealwireRaw.ServiceKeys) {
        self.raw = raw
    }

    /// A first key, published at once. Throws `Unsupported` if the system gives no randomness.
    public static func generate(kem: Kem = .xWing) throws -> ServiceKeys {
        try crossing { ServiceKeys(try SealwireRaw.ServiceKeys.generate(kem: kem.raw, now: now())) }
    }

    /// The keys that were saved, without those that have expired; nothing if nothing was, or all have. Throws `Malformed` if they are not keys.
    public static func load(from store: any SecretStore, name: String) throws -> ServiceKeys? {
        try crossing { try SealwireRaw.loadServiceKeys(store: rawStore(store), name: name, now: now()).map { ServiceKeys($0) } }
    }

    /// Keeps the keys for the next start and for other processes. Throws `Misuse` if newer ones are there.
    public func save(in store: any SecretStore, name: String) throws {
        try crossing { try raw.save(store: rawStore(store), name: name, now: now()) }
    }

    /// Takes what another process has saved. Throws `Store` if nothing was, or all of it has expired.
    public func reload(from store: any SecretStore, name: String) throws {
        try crossing { try raw.reload(store: rawStore(store), name: name, now: now()) }
    }

    /// Adds a key like the newest one, understood at once and published an hour later, and drops those that have expired. Call it once a day, in one process,
    /// and save. Throws `TooLarge` if there are 16 keys.
    public func rotate() throws {
        try crossing { try raw.rotate(now: now()) }
    }

    /// When the last of them runs out; nothing if none is left.
    public var expires: Date? {
        get throws { try crossing { try raw.expires(now: now()).map { Date(timeIntervalSince1970: TimeInterval($0)) } } }
    }
}

/// Whose signatures count, looked up by the name that a signature gives its key (a JWK thumbprint, 43 characters). It proves nothing: give only signers
/// whom you trust. It is called while the request waits; what it throws counts as nobody.
public protocol OriginKeys: Sendable {
    func signer(keyID: String) throws -> Signer?
}

/// Whose signatures count, and how strictly. The defaults are strict: 300 s of age and validity, 30 s between clocks, a nonce.
public struct Verify: Sendable {
    public enum Signers: Sendable {
        case known([Signer])
        case lookedUp(any OriginKeys)
    }

    public var signers: Signers
    /// Fields that have to be there and covered.
    public var require: [String]
    /// Refuses what was signed longer ago, in seconds.
    public var maxAge: UInt64?
    /// Refuses what its signer wants to be valid for longer, in seconds.
    public var maxValidity: UInt64?
    /// How far clocks may be apart, in seconds.
    public var clockSkew: UInt64?
    /// Takes signatures without a nonce. **They can be replayed** while they are valid.
    public var allowMissingNonce: Bool

    public init(
        signers: Signers,
        require: [String] = [],
        maxAge: UInt64? = nil,
        maxValidity: UInt64? = nil,
        clockSkew: UInt64? = nil,
        allowMissingNonce: Bool = false
    ) {
        self.signers = signers
        self.require = require
        self.maxAge = maxAge
        self.maxValidity = maxValidity
        self.clockSkew = clockSkew
        self.allowMissingNonce = allowMissingNonce
    }

    var raw: SealwireRaw.Verify {
        let rawSigners: SealwireRaw.Signers
        switch signers {
        case .known(let known): rawSigners = .known(signers: known.map(\.text))
        case .lookedUp(let keys): rawSigners = .lookedUp(keys: OutsideOriginKeys(keys))
        }
        return SealwireRaw.Verify(
            signers: rawSigners,
            require: require,
            maxAge: maxAge,
            maxValidity: maxValidity,
            clockSkew: clockSkew,
            allowMissingNonce: allowMissingNonce
        )
    }
}

/// Where requests are remembered, so that each comes once. Several processes need a shared one, whose `insert` is atomic.
public protocol ReplayCache: Sendable {
    /// True if `id` was not there; it stays until `until`. All times are Unix seconds. Throws `Expired` for a date (`made`) before the cache's beginning.
    func insert(_ id: Data, made: UInt64, until: UInt64, now: UInt64) async throws -> Bool
}

/// A replay cache of this process. A full one throws `Store`: nothing is forgotten early.
public final class MemoryReplayCache: ReplayCache {
    private let raw: SealwireRaw.MemoryReplayCache

    /// For this many requests at a time.
    public init(capacity: UInt64 = 1_000_000) {
        raw = SealwireRaw.MemoryReplayCache(capacity: capacity, now: now())
    }

    public func insert(_ id: Data, made: UInt64, until: UInt64, now: UInt64) async throws -> Bool {
        try crossing { try raw.insert(id: id, made: made, until: until, now: now) }
    }
}

/// A service that takes exchanges, or a gateway that verifies signatures, in front of an app of any framework. Source: SPEC §18 to §21.
///
/// Everything is demanded everywhere, unless a path is excepted by name. Refusals are an `application/problem+json` that does not say why; the observer hears
/// of it. Bodies are held while they arrive, unless their path is to `stream`. Answers in the whole form are collected, up to 64 MiB; those to requests in the
/// chunked form are sealed while they are made. What cannot be sealed becomes a sealed 500.
///
/// ```swift
/// let service = try SealedService(origin: "https://api.example.com", keys: keys, identity: identity, plain: ["/health"])
/// let answer = try await service.handle(request) { request, signer in try await app.respond(to: request) }
/// ```
public final class SealedService: Sendable {
    private let gate: SealwireRaw.Gate
    private let signed: any ReplayCache
    private let unsigned: any ReplayCache
    private let bodyTimeout: TimeInterval
    private let memory: Memory

    /// A service that takes exchanges. `origin` is where everybody outside finds it; a received `Host` decides nothing. The keys belong to this service from
    /// here on; `identity` signs them, and clients carry its pin. `signedOnly` lets requests for these paths in without an exchange, but signed: where the
    /// service only stores envelopes. `unsigned` lets exchanges in from anybody; `plain` lets requests in **as they are**. `mounted` says that a gateway in
    /// front replaces a prefix of the public path.
    ///
    /// `stream` hands requests for these paths on while their body arrives. **The app then acts on a body that may turn out to be cut off**: it has to undo
    /// what it did if the body throws. `maxBody` is 8 MiB, unless told otherwise. `bodyTimeout` is how many seconds a body may take to arrive where it is
    /// held, and each piece of one that streams; `memory` is how many bytes all bodies together may hold while they arrive, those that nobody signed half of it; what is above gets 503.
    /// `replayUnsigned` remembers what nobody signed apart from `replay`: **a cache that strangers can fill refuses everybody**.
    ///
    /// Throws `Malformed` for an origin or a pattern that is not one, and `Misuse` if the keys have a service.
    public init(
        origin: String,
        keys: ServiceKeys,
        identity: Identity,
        verify: Verify? = nil,
        plain: [String] = [],
        signedOnly: [String] = [],
        unsigned: [String] = [],
        stream: [String] = [],
        mounted: (public: String, local: String)? = nil,
        tunnel: String? = nil,
        postCarrier: Bool = false,
        coarseStatus: Bool = false,
        window: UInt64? = nil,
        nextPins: [Pin] = [],
        enforceIdempotencyKeys: Bool = false,
        allowOrigins: [String] = [],
        passOuter: [String] = [],
        maxBody: UInt64? = nil,
        bodyTimeout: TimeInterval = 30,
        memory: Int = 256 << 20,
        replay: (any ReplayCache)? = nil,
        replayUnsigned: (any ReplayCache)? = nil,
        observer: (any Observer)? = nil
    ) throws {
        let exchanges = SealwireRaw.Exchanges(
            keys: keys.raw,
            identity: identity.raw,
            mounted: mounted.map { SealwireRaw.Mounted(public: $0.public, local: $0.local) },
            tunnel: tunnel,
            postCarrier: postCarrier,
            coarseStatus: coarseStatus,
            window: window,
            nextPins: nextPins.map(\.text)
        )
        try check(bodyTimeout)
        let options = { (exchanges: SealwireRaw.Exchanges?) in
            SealwireRaw.GateOptions(
                origin: origin,
                exchanges: exchanges,
                verify: verify?.raw,
                plain: plain,
                signedOnly: signedOnly,
                unsigned: unsigned,
                stream: stream,
                enforceIdempotencyKeys: enforceIdempotencyKeys,
                allowOrigins: allowOrigins,
                passOuter: passOuter,
                maxBody: maxBody,
                observer: observer.map { OutsideObserver($0) }
            )
        }
        gate = try crossing {
            // What is wrong with the options is said while the keys are still free.
            _ = try SealwireRaw.Gate(options: options(nil))
            return try SealwireRaw.Gate(options: options(exchanges))
        }
        signed = replay ?? MemoryReplayCache()
        self.unsigned = replayUnsigned ?? replay ?? MemoryReplayCache()
        self.bodyTimeout = bodyTimeout
        self.memory = Memory(memory)
    }

    /// A gateway that lets in what is signed, and needs public keys alone; behind it exchanges and envelopes stay closed.
    public init(
        gatewayOf origin: String,
        verify: Verify,
        plain: [String] = [],
        allowOrigins: [String] = [],
        maxBody: UInt64? = nil,
        bodyTimeout: TimeInterval = 30,
        memory: Int = 256 << 20,
        replay: (any ReplayCache)? = nil,
        replayUnsigned: (any ReplayCache)? = nil,
        observer: (any Observer)? = nil
    ) throws {
        try check(bodyTimeout)
        let options = SealwireRaw.GateOptions(
            origin: origin,
            verify: verify.raw,
            plain: plain,
            allowOrigins: allowOrigins,
            maxBody: maxBody,
            observer: observer.map { OutsideObserver($0) }
        )
        gate = try crossing { try SealwireRaw.Gate(options: options) }
        signed = replay ?? MemoryReplayCache()
        unsigned = replayUnsigned ?? replay ?? MemoryReplayCache()
        self.bodyTimeout = bodyTimeout
        self.memory = Memory(memory)
    }

    /// Opens a request, asks `app`, and seals what it answers. What is not let in is answered here. Put it around the whole app, not single routes: a
    /// tunnelled request comes to another path than it is for. What `app` throws is thrown.
    public func handle(
        _ request: ServiceRequest,
        app: (ServiceRequest, Signer?) async throws -> ServiceResponse
    ) async throws -> ServiceResponse {
        let origin = request.fields.first { $0.name.lowercased() == "origin" }
        let page = gate.pageFields(origin: origin.map { Data($0.value.utf8) })
        let hasBody = await hasBody(request)
        let entered = try crossing {
            try gate.enter(
                method: request.method,
                pathAndQuery: request.pathAndQuery,
                fields: request.fields.map(\.raw),
                hasBody: hasBody,
                now: now()
            )
        }
        let (passage, pieces) = (entered.passage, request.body.pieces)
        var step = entered.step
        while true {
            switch step {
            case .answer(let answer):
                return ServiceResponse(answer).with(page)
            case .plain:
                let response = try await app(request, nil)
                passage.served(status: UInt16(clamping: response.status))
                return response.with(page)
            case .read:
                step = try await read(pieces, into: passage)
            case .remember(let id, let made, let until, let signed):
                step = try await remember(passage, id, made, until, signed ? self.signed : unsigned)
            case .admitted(let admitted):
                let signer = admitted.signer.map { Signer(text: $0) }
                let body = admitted.beginsEarly ? ServiceBody(rest(of: pieces, after: admitted.content, passage)) : ServiceBody(admitted.content)
                let response = try await app(ServiceRequest(admitted, body), signer)
                guard admitted.isSealed else {
                    passage.served(status: UInt16(clamping: response.status))
                    return response.with(page)
                }
                let answer = admitted.method == "HEAD" ? ServiceResponse(status: response.status, fields: response.fields) : response
                return try await (admitted.isStreamed ? streamed(passage, answer) : sealed(passage, answer)).with(page)
            }
        }
    }

    private func hasBody(_ request: ServiceRequest) async -> Bool {
        // A `content-length` of zero the gate knows.
        if request.fields.contains(where: { ["content-length", "transfer-encoding"].contains($0.name.lowercased()) }) { return true }
        return await !request.body.isEmpty(within: bodyTimeout)
    }

    /// Reads a body: all of it, or up to where the app may read on.
    private func read(_ pieces: Once, into passage: SealwireRaw.Passage) async throws -> SealwireRaw.GateStep {
        try pieces.begin()
        let deadline = Date() + bodyTimeout
        let isSigned = passage.isSigned()
        var held = 0
        defer { memory.give(held, isSigned: isSigned) }
        while true {
            let piece: Data?
            do {
                piece = try await pieces.next(within: deadline.timeIntervalSinceNow)
            } catch {
                try Task.checkCancellation()
                let why: SealwireRaw.GiveUp = (error as? SealwireError) == tooSlow ? .slow : .broken
                return try crossing { try passage.giveUp(why: why) }
            }
            guard let piece else { return try crossing { try passage.finish(now: now()) } }
            guard memory.take(piece.count, isSigned: isSigned) else { return try crossing { try passage.giveUp(why: .memory) } }
            held += piece.count
            let step = try crossing { try passage.push(piece: try lent(piece), now: now()) }
            guard case .read = step else { return step }
        }
    }

    /// What follows of a body that the app gets while it arrives. Only its end says that nothing was cut off.
    private func rest(of pieces: Once, after content: Data, _ passage: SealwireRaw.Passage) -> Once {
        Once(front: content, of: { [bodyTimeout] in try await pieces.next(within: bodyTimeout) }) { piece in
            try crossing { try piece.map { try passage.rest(piece: try lent($0), now: now()) } ?? passage.restEnd(now: now()) }
        }
    }

    private func remember(
        _ passage: SealwireRaw.Passage,
        _ id: Data,
        _ made: UInt64,
        _ until: UInt64,
        _ cache: any ReplayCache
    ) async throws -> SealwireRaw.GateStep {
        var fresh: Bool?
        var isExpired = false
        do {
            fresh = try await cache.insert(id, made: made, until: until, now: now())
        } catch {
            isExpired = (error as? SealwireError)?.code == .expired
        }
        let (answer, expired) = (fresh, isExpired)
        return try crossing { try passage.inserted(fresh: answer, expired: expired, now: now()) }
    }
}

/// Seals an answer as a whole.
private func sealed(_ passage: SealwireRaw.Passage, _ response: ServiceResponse) async throws -> ServiceResponse {
    let body = try? await response.body.whole(upTo: maxWhole)
    let status = body == nil ? 500 : UInt16(clamping: response.status)
    let fields = body == nil ? [] : response.fields.map(\.raw)
    defer { passage.served(status: status) }
    return ServiceResponse(try crossing { try passage.seal(status: status, fields: fields, body: try lent(body ?? Data())) })
}

/// The most that is collected of an app's answer.
private let maxWhole = 64 << 20

/// Seals an answer while it is made.
private func streamed(_ passage: SealwireRaw.Passage, _ response: ServiceResponse) throws -> ServiceResponse {
    let pieces = response.body.pieces
    // What was read before is not there to be sealed.
    guard (try? pieces.begin()) != nil else { return try streamed(passage, ServiceResponse(status: 500)) }
    let status = UInt16(clamping: response.status)
    defer { passage.served(status: status) }
    let streamed = try crossing { try passage.stream(status: status, fields: response.fields.map(\.raw)) }
    var answer = ServiceResponse(streamed.answer)
    guard let sealing = streamed.body else { return answer }
    answer.body = ServiceBody(
        Once(front: streamed.answer.body, of: { try await pieces.next() }) { piece in
            try crossing { try piece.map { try sealing.push(piece: try lent($0)) } ?? sealing.finish() }
        }
    )
    return answer
}

/// How many bytes bodies may hold now, all of them and those of strangers: of half of it they cannot keep known devices out.
private final class Memory: @unchecked Sendable {
    private let lock = NSLock()
    private var left: Int
    private var leftForStrangers: Int

    init(_ left: Int) {
        self.left = left
        leftForStrangers = left / 2
    }

    func take(_ count: Int, isSigned: Bool) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        guard count <= left, isSigned || count <= leftForStrangers else { return false }
        add(-count, isSigned: isSigned)
        return true
    }

    func give(_ count: Int, isSigned: Bool) {
        lock.lock()
        defer { lock.unlock() }
        add(count, isSigned: isSigned)
    }

    private func add(_ count: Int, isSigned: Bool) {
        left += count
        if !isSigned { leftForStrangers += count }
    }
}

private func check(_ bodyTimeout: TimeInterval) throws {
    guard bodyTimeout > 0, bodyTimeout <= 24 * 24 * 3600 else { throw SealwireError(.misuse, "misuse: a body has up to 24 days") }
}

final class OutsideOriginKeys: SealwireRaw.OriginKeys {
    private let inner: any OriginKeys

    init(_ inner: any OriginKeys) {
        self.inner = inner
    }

    func signer(keyId: String) throws -> String? {
        try outside { try inner.signer(keyID: keyId)?.text }
    }
}
