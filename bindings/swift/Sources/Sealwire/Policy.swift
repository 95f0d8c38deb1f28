import Foundation
import SealwireRaw

/// What is done with the requests of an app, by origin and path. A URL that no rule covers is refused (`Misuse`), not sent in the clear.
/// Source: SPEC §18, §20.
///
/// ```swift
/// let api = "https://api.example.com"
/// let policy = Policy(
///     services: [api: .pins(["sealwire-pin1…"])],
///     rules: [
///         Rule(origin: api, path: "/notes/{id}", seal: SealedResource(namespace: "notes", id: "id", to: [bob], senders: [alice.signer])),
///         Rule(origin: api, path: "/assistant/{rest..}", exchange: .inPlace(), streamed: true),
///     ]
/// )
/// ```
public struct Policy: Sendable {
    /// Whose keys to believe for exchanges, by origin (`https://host`, with the port unless it is the scheme's own).
    public var services: [String: ServiceTrust]
    /// The rules. The first that covers a URL counts.
    public var rules: [Rule]

    public init(services: [String: ServiceTrust] = [:], rules: [Rule]) {
        self.services = services
        self.rules = rules
    }

    var raw: SealwireRaw.Policy {
        let services = self.services.map { SealwireRaw.TrustedService(origin: $0.key, trust: $0.value.raw) }
        return SealwireRaw.Policy(services: services, rules: rules.map(\.raw))
    }
}

/// Whose keys a client believes.
public enum ServiceTrust: Sendable, Hashable {
    /// The pins of the service's identities, which the app carries: a list, so that they can rotate. The service publishes its keys itself, signed by one.
    case pins([String])
    /// The service's keys, which the app has by another way: the media type `application/ohttp-keys` (RFC 9458 §3), believed until then (Unix seconds).
    case keys(ohttpKeys: Data, expires: UInt64)
    /// Believes whatever key the network shows first, and afterwards only that identity and those that it names. **Whoever ends TLS at that first moment
    /// can read everything.** Needs `lastSeen`.
    case trustOnFirstUse

    var raw: SealwireRaw.Trust {
        switch self {
        case .pins(let pins): return .pins(pins: pins)
        case .keys(let ohttpKeys, let expires): return .keys(ohttpKeys: ohttpKeys, expires: expires)
        case .trustOnFirstUse: return .firstUse
        }
    }
}

/// What is done with the requests to one kind of URL. It says `seal`, `exchange` or `inTheClear`; else it covers nothing (`Misuse`).
public struct Rule: Sendable {
    /// The origin: `https://host`, with the port unless it is the scheme's own.
    public var origin: String
    /// The path. A segment `{name}` stands for any one segment that is not empty; `{name..}` at the end for all that follow.
    public var path: String
    /// Seals request and response to the service.
    public var exchange: Exchange?
    /// Seals bodies to people: the service only stores them.
    public var seal: SealedResource?
    /// Signs requests with the identity, so that a gateway can check who sent them.
    public var sign: Bool
    /// Exchanges in the chunked form: response bodies can be read while they arrive, without a limit.
    public var streamed: Bool
    /// Says that the service refuses a second request with the same `Idempotency-Key`: then every request carries one, and is repeated by itself if the
    /// service could not open it.
    public var idempotent: Bool
    /// **Sends and takes everything in the clear**: for what is public anyway.
    public var inTheClear: Bool

    public init(
        origin: String,
        path: String,
        exchange: Exchange? = nil,
        seal: SealedResource? = nil,
        sign: Bool = false,
        streamed: Bool = false,
        idempotent: Bool = false,
        inTheClear: Bool = false
    ) {
        self.origin = origin
        self.path = path
        self.exchange = exchange
        self.seal = seal
        self.sign = sign
        self.streamed = streamed
        self.idempotent = idempotent
        self.inTheClear = inTheClear
    }

    var raw: SealwireRaw.Rule {
        SealwireRaw.Rule(
            origin: origin,
            path: path,
            exchange: exchange?.raw,
            seal: seal?.raw,
            sign: sign,
            streamed: streamed,
            idempotent: idempotent,
            inTheClear: inTheClear
        )
    }
}

/// How an exchange is carried.
public enum Exchange: Sendable, Hashable {
    /// At the URL itself, with nothing shown but method, host and path.
    ///
    /// `expose` names fields that are also written outside, where a gateway reads them: `authorization`, say; **whoever ends TLS can then steal them**.
    /// `exposeQuery` also writes the query outside, into every access log on the way. `postCarrier` lets requests without a body travel as POST when they
    /// are too long for a header field (6 KiB).
    case inPlace(expose: [String] = [], exposeQuery: Bool = false, postCarrier: Bool = false)
    /// Hides everything: a POST to one gateway resource of the same service (plain RFC 9458).
    case tunnel(url: String)

    var raw: SealwireRaw.Exchange {
        switch self {
        case .inPlace(let expose, let exposeQuery, let postCarrier):
            return .inPlace(expose: expose, exposeQuery: exposeQuery, postCarrier: postCarrier)
        case .tunnel(let url):
            return .tunnel(url: url)
        }
    }
}

/// One kind of resource whose bodies are sealed to people and signed.
///
/// Its context is the namespace and the id, never the URL. Recipients' keys are public, so whoever reads says whose writing they take: without that a
/// server could write a note of its own. Source: SPEC §20.
public struct SealedResource: Sendable {
    /// The namespace of its ``SealContext``.
    public var namespace: String
    /// The parameter of the rule's `path` that is the resource's id.
    public var id: String
    /// Who can read what is written, unless a request says otherwise.
    public var to: [Recipient]
    /// Whose writing is believed. Without any, nothing opens.
    public var senders: [Signer]
    /// Responses to GET are JSON arrays of objects, with the resource's id and the envelope's text form in these members. ``SealedAnswer/list`` has the
    /// items; the response's own body is empty.
    public var list: ListMembers?

    /// Where the items of a list have their id and their envelope.
    public struct ListMembers: Sendable, Hashable {
        public var id: String
        public var envelope: String

        public init(id: String, envelope: String) {
            self.id = id
            self.envelope = envelope
        }
    }

    public init(namespace: String, id: String, to: [Recipient] = [], senders: [Signer] = [], list: ListMembers? = nil) {
        self.namespace = namespace
        self.id = id
        self.to = to
        self.senders = senders
        self.list = list
    }

    var raw: SealwireRaw.Resource {
        SealwireRaw.Resource(
            namespace: namespace,
            id: id,
            to: to.map(\.raw),
            senders: senders.map(\.text),
            list: list.map { SealwireRaw.ListMembers(id: $0.id, envelope: $0.envelope) }
        )
    }
}
