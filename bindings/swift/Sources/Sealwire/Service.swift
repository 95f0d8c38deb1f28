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

    /// The keys that were saved, without those that have expired; nothing if nothing was. Throws `Malformed` if they are not keys.
    public static func load(from store: any SecretStore, name: String) throws -> ServiceKeys? {
        try crossing { try SealwireRaw.loadServiceKeys(store: rawStore(store), name: name, now: now()).map { ServiceKeys($0) } }
    }

    /// Keeps the keys for the next start and for other processes.
    public func save(in store: any SecretStore, name: String) throws {
        try crossing { try raw.save(store: rawStore(store), name: name, now: now()) }
    }

    /// Takes what another process has saved. Throws `Store` if nothing was.
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
/// of it. Bodies are whole when they come here: the framework bounds how long one may take to arrive, and how many arrive at once.
///
/// ```swift
/// let service = try SealedService(origin: "https://api.example.com", keys: keys, identity: identity, plain: ["/health"])
/// let answer = try await service.handle(request) { request, signer in try await app.respond(to: request) }
/// ```
public final class SealedService: Sendable {
    private let gate: SealwireRaw.Gate
    private let signed: any ReplayCache
    private let unsigned: any ReplayCache

    /// A service that takes exchanges. `origin` is where everybody outside finds it; a received `Host` decides nothing. The keys belong to this service from
    /// here on; `identity` signs them, and clients carry its pin. `signedOnly` lets requests for these paths in without an exchange, but signed: where the
    /// service only stores envelopes. `unsigned` lets exchanges in from anybody; `plain` lets requests in **as they are**. `mounted` says that a gateway in
    /// front replaces a prefix of the public path. `maxBody` is 8 MiB, unless told otherwise.
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
        replay: (any ReplayCache)? = nil,
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
        let options = { (exchanges: SealwireRaw.Exchanges?) in
            SealwireRaw.GateOptions(
                origin: origin,
                exchanges: exchanges,
                verify: verify?.raw,
                plain: plain,
                signedOnly: signedOnly,
                unsigned: unsigned,
                stream: [],
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
        self.unsigned = replay ?? MemoryReplayCache()
    }

    /// A gateway that lets in what is signed, and needs public keys alone; behind it exchanges and envelopes stay closed.
    public init(
        gatewayOf origin: String,
        verify: Verify,
        plain: [String] = [],
        allowOrigins: [String] = [],
        maxBody: UInt64? = nil,
        replay: (any ReplayCache)? = nil,
        observer: (any Observer)? = nil
    ) throws {
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
        unsigned = replay ?? MemoryReplayCache()
    }

    /// Opens a request, asks `app`, and seals what it answers. What is not let in is answered here. Put it around the whole app, not single routes: a
    /// tunnelled request comes to another path than it is for. What `app` throws is thrown.
    public func handle(
        _ request: ServiceRequest,
        app: (ServiceRequest, Signer?) async throws -> ServiceResponse
    ) async throws -> ServiceResponse {
        let origin = request.fields.first { $0.name.lowercased() == "origin" }
        let page = gate.pageFields(origin: origin.map { Data($0.value.utf8) })
        let entered = try crossing {
            try gate.enter(
                method: request.method,
                pathAndQuery: request.pathAndQuery,
                fields: request.fields.map(\.raw),
                hasBody: !request.body.isEmpty,
                now: now()
            )
        }
        let passage = entered.passage
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
                step = try crossing {
                    let pushed = try passage.push(piece: try lent(request.body), now: now())
                    guard case .read = pushed else { return pushed }
                    return try passage.finish(now: now())
                }
            case .remember(let id, let made, let until, let signed):
                step = try await remember(passage, id, made, until, signed ? self.signed : unsigned)
            case .admitted(let admitted):
                let signer = admitted.signer.map { Signer(text: $0) }
                let response = try await app(ServiceRequest(admitted), signer)
                defer { passage.served(status: UInt16(clamping: response.status)) }
                guard admitted.isSealed else { return response.with(page) }
                let body = admitted.method == "HEAD" ? Data() : response.body
                let (status, fields) = (UInt16(clamping: response.status), response.fields.map(\.raw))
                return try crossing { try sealed(passage, admitted.isStreamed, status, fields, body) }.with(page)
            }
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

/// To a request in the chunked form the answer is sealed in chunks.
private func sealed(
    _ passage: SealwireRaw.Passage,
    _ isStreamed: Bool,
    _ status: UInt16,
    _ fields: [SealwireRaw.Field],
    _ body: Data
) throws -> ServiceResponse {
    guard isStreamed else {
        return ServiceResponse(try passage.seal(status: status, fields: fields, body: try lent(body)))
    }
    let streamed = try passage.stream(status: status, fields: fields)
    var response = ServiceResponse(streamed.answer)
    if let sealing = streamed.body {
        response.body += try sealing.push(piece: try lent(body))
        response.body += try sealing.finish()
    }
    return response
}

/// One field line.
public struct HeaderField: Sendable, Hashable {
    public let name: String
    public let value: String

    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }

    init(_ raw: SealwireRaw.Field) {
        name = raw.name
        value = String(decoding: raw.value, as: UTF8.self)
    }

    var raw: SealwireRaw.Field {
        SealwireRaw.Field(name: name, value: Data(value.utf8))
    }
}

/// A request as a framework has it: `pathAndQuery` as it stands in the request line.
public struct ServiceRequest: Sendable, Hashable {
    public var method: String
    public var pathAndQuery: String
    public var fields: [HeaderField]
    public var body: Data

    public init(method: String, pathAndQuery: String, fields: [HeaderField] = [], body: Data = Data()) {
        self.method = method
        self.pathAndQuery = pathAndQuery
        self.fields = fields
        self.body = body
    }

    init(_ raw: SealwireRaw.Request) {
        method = raw.method
        pathAndQuery = raw.pathAndQuery
        fields = raw.fields.map { HeaderField($0) }
        body = raw.content
    }
}

/// A response as a framework takes it.
public struct ServiceResponse: Sendable, Hashable {
    public var status: Int
    public var fields: [HeaderField]
    public var body: Data

    public init(status: Int, fields: [HeaderField] = [], body: Data = Data()) {
        self.status = status
        self.fields = fields
        self.body = body
    }

    init(_ raw: SealwireRaw.Message) {
        status = Int(raw.status)
        fields = raw.fields.map { HeaderField($0) }
        body = raw.body
    }

    /// A `vary` more, the others in the place of the app's own.
    func with(_ page: [SealwireRaw.Field]) -> ServiceResponse {
        var response = self
        for field in page.map({ HeaderField($0) }) {
            if field.name != "vary" { response.fields.removeAll { $0.name.lowercased() == field.name } }
            response.fields.append(field)
        }
        return response
    }
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
