package dev.sealwire

import dev.sealwire.ffi.ListMembers
import dev.sealwire.ffi.Resource
import dev.sealwire.ffi.Trust
import dev.sealwire.ffi.TrustedService
import dev.sealwire.ffi.Exchange as RawExchange
import dev.sealwire.ffi.Policy as RawPolicy
import dev.sealwire.ffi.Rule as RawRule

/**
 * What is done with the requests of an app, by origin and path. A URL that no rule covers is refused (`Misuse`), not sent in the clear. The
 * first rule that covers a URL counts. An origin is `https://host`, with the port unless it is the scheme's own. Source: SPEC §18, §20.
 *
 * ```kotlin
 * val policy = Policy(
 *     services = mapOf("https://api.example.com" to ServiceTrust.Pins("sealwire-pin1…")),
 *     rules = listOf(
 *         Rule("https://api.example.com", "/notes/{id}", seal = SealedResource("notes", "id", to = listOf(bob), senders = listOf(alice.signer))),
 *         Rule("https://api.example.com", "/assistant/{rest..}", exchange = InPlace(), streamed = true),
 *     ),
 * )
 * ```
 *
 * @param services whose keys to believe for exchanges, by origin.
 */
public class Policy(internal val services: Map<String, ServiceTrust> = emptyMap(), internal val rules: List<Rule>) {
    /** Everything of one origin as exchanges in place, with the service that has one of these pins. */
    public constructor(origin: String, vararg pins: String) :
        this(mapOf(origin to ServiceTrust.Pins(*pins)), listOf(Rule(origin, "/{rest..}", exchange = InPlace())))
}

/** Whose keys a client believes. The service publishes its keys itself, signed by its identity. */
public sealed interface ServiceTrust {
    /** The pins of the service's identities, which the app carries: a list, so that they can rotate. */
    public class Pins(internal vararg val pins: String) : ServiceTrust {
        /** The same. */
        public constructor(vararg pins: Pin) : this(*pins.map { it.toString() }.toTypedArray())
    }

    /**
     * Believes whatever key the network shows first, and afterwards only that identity and those that it names. **Whoever ends TLS at that first
     * moment can read everything.** Needs `lastSeen`.
     */
    public data object FirstUse : ServiceTrust

    /**
     * A service's keys, which the app has by another way: a key configuration in the media type `application/ohttp-keys` (RFC 9458 §3), believed
     * until [expires] (Unix seconds).
     */
    public class Keys(ohttpKeys: ByteArray, internal val expires: ULong) : ServiceTrust {
        internal val ohttpKeys = ohttpKeys.copyOf()
    }
}

/**
 * What is done with the requests to one kind of URL. It says [seal], [exchange] or [inTheClear]; else it covers nothing (`Misuse`).
 *
 * @param path a segment `{name}` stands for any one segment that is not empty; `{name..}` at the end for all that follow.
 * @param exchange seals request and response to the service.
 * @param seal seals bodies to people: the service only stores them.
 * @param sign signs requests with the identity, so that a gateway can check who sent them.
 * @param streamed exchanges in the chunked form: response bodies can be read while they arrive, without a limit.
 * @param idempotent says that the service refuses a second request with the same `Idempotency-Key`: then every request carries one, and is
 *   repeated by itself if the service could not open it.
 * @param inTheClear **sends and takes everything in the clear**: for what is public anyway.
 */
public class Rule(
    internal val origin: String,
    internal val path: String,
    internal val exchange: Exchange? = null,
    internal val seal: SealedResource? = null,
    internal val sign: Boolean = false,
    internal val streamed: Boolean = false,
    internal val idempotent: Boolean = false,
    internal val inTheClear: Boolean = false,
)

/** How an exchange is carried. */
public sealed interface Exchange

/**
 * In place: at the URL itself, with method, host and path shown.
 *
 * @param expose names of fields that are also written outside, where a gateway reads them: `authorization`, say. **Whoever ends TLS can then
 *   steal them.**
 * @param exposeQuery also writes the query outside, into every access log on the way.
 * @param postCarrier lets requests without a body travel as POST when they are too long for a header field (6 KiB).
 */
public class InPlace(
    internal val expose: List<String> = emptyList(),
    internal val exposeQuery: Boolean = false,
    internal val postCarrier: Boolean = false,
) : Exchange

/** Hides everything: a POST to one gateway resource of the same service, at [url] (plain RFC 9458). */
public class Tunnel(internal val url: String) : Exchange

/**
 * One kind of resource whose bodies are sealed to people and signed.
 *
 * Its context is the namespace and the id, never the URL. Recipients' keys are public, so whoever reads says whose writing they take: without
 * that a server could write a note of its own. Source: SPEC §20.
 *
 * @param namespace that of its [SealContext].
 * @param id the parameter of the rule's path that is the resource's id.
 * @param to who can read what is written, unless a request says otherwise.
 * @param senders whose writing is believed. Without any, nothing opens.
 * @param list responses to GET are lists.
 */
public class SealedResource(
    internal val namespace: String,
    internal val id: String,
    internal val to: List<Recipient> = emptyList(),
    internal val senders: List<Signer> = emptyList(),
    internal val list: SealedList? = null,
)

/**
 * JSON arrays of objects, with the resource's id in the member [id] and the envelope's text form in the member [envelope]. [SealedInfo.list] has
 * the items; the response's own body is empty.
 */
public class SealedList(internal val id: String, internal val envelope: String)

/** What one request says of itself, beside what is in it. */
public class SealedCall(
    /** Who can read a sealed resource, in place of the rule's recipients: the complete list. */
    public val to: List<Recipient>? = null,
    /**
     * The version of a sealed resource, for readers to compare: count it up with every change. Once the service has taken it, this client takes
     * no older one; `Rejected` then says that a higher one was seen before, and that readers will refuse what was sent.
     */
    public val version: ULong? = null,
    /** The context of a sealed resource, where the URL does not name its id: a POST to a collection. */
    public val context: SealContext? = null,
)

/** What is known of a response beside what an HTTP client can say. */
public class SealedInfo internal constructor(
    /** Who wrote a sealed resource: one of the rule's senders. */
    public val signer: Signer?,
    /** What its writer said about a sealed resource. */
    public val about: About?,
    /** The items of a list of sealed resources. */
    public val list: List<SealedItem>?,
)

/** One item of a list: what it holds, or why it does not open. */
public class SealedItem internal constructor(
    /** The resource's id, as the list says; if the item opened, it is right. */
    public val id: String,
    private val result: Result<Opened>,
) {
    /** What it holds: throws what opening it threw. */
    public fun open(): Opened = result.getOrThrow()

    /** What it holds, or `null` if it does not open. */
    public val opened: Opened? get() = result.getOrNull()

    /** Why it does not open. */
    public val error: SealwireException? get() = result.exceptionOrNull() as SealwireException?
}

/** What an operator may know of a call. Every value is one of few, so that nothing of a request can be told from it. */
public class CallEvent internal constructor(
    /** `call`, or `keys` for a service's keys that did not come or were not believed. */
    public val operation: String,
    /** How it ended: `ok` when the answer is there, or an error's code. */
    public val code: String,
    /** `envelope`, `exchange`, `signature`, several of them joined by `+`, or `none`. */
    public val protection: String,
    /** The size of the request's body, rounded up to a power of four bytes; 0 if there is none or it is a stream. */
    public val size: ULong,
    /** How long it took until the answer was there, in microseconds. */
    public val micros: ULong,
)

/** An audit log, an exporter of metrics. It is called while the call waits, so it is quick; what it throws is dropped. */
public fun interface Observer {
    /** Hears of the end of a call. */
    public fun event(event: CallEvent)
}

/** The policy inside the library. */
internal fun rawPolicy(policy: Policy): RawPolicy =
    RawPolicy(policy.services.map { (origin, trust) -> TrustedService(origin, rawTrust(trust)) }, policy.rules.map(::rawRule))

private fun rawTrust(trust: ServiceTrust): Trust =
    when (trust) {
        is ServiceTrust.Pins -> Trust.Pins(trust.pins.toList())
        is ServiceTrust.Keys -> Trust.Keys(trust.ohttpKeys, trust.expires)
        ServiceTrust.FirstUse -> Trust.FirstUse
    }

private fun rawRule(rule: Rule): RawRule {
    val exchange =
        when (val way = rule.exchange) {
            null -> null
            is InPlace -> RawExchange.InPlace(way.expose, way.exposeQuery, way.postCarrier)
            is Tunnel -> RawExchange.Tunnel(way.url)
        }
    val seal = rule.seal?.let { resource ->
        val list = resource.list?.let { ListMembers(it.id, it.envelope) }
        Resource(resource.namespace, resource.id, resource.to.map { it.raw }, resource.senders.map { it.text }, list)
    }
    return RawRule(rule.origin, rule.path, exchange, seal, rule.sign, rule.streamed, rule.idempotent, rule.inTheClear)
}
