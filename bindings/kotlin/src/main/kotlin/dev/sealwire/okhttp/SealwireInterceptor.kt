package dev.sealwire.okhttp

import dev.sealwire.Driver
import dev.sealwire.Identity
import dev.sealwire.Incoming
import dev.sealwire.MAX_BODY
import dev.sealwire.Observer
import dev.sealwire.PIECE
import dev.sealwire.Policy
import dev.sealwire.SealContext
import dev.sealwire.SealedCall
import dev.sealwire.SealedInfo
import dev.sealwire.SealwireException
import dev.sealwire.SecretStore
import dev.sealwire.Recipient
import dev.sealwire.Unlock
import dev.sealwire.Uploading
import dev.sealwire.blocking
import dev.sealwire.ffi.CallBody
import dev.sealwire.ffi.CallStep
import dev.sealwire.ffi.Field
import dev.sealwire.fieldOf
import dev.sealwire.network
import dev.sealwire.text
import java.io.IOException
import okhttp3.Authenticator
import okhttp3.Cookie
import okhttp3.CookieJar
import okhttp3.Headers
import okhttp3.Interceptor
import okhttp3.MediaType
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.RequestBody
import okhttp3.RequestBody.Companion.toRequestBody
import okhttp3.Response
import okhttp3.ResponseBody.Companion.asResponseBody
import okhttp3.ResponseBody.Companion.toResponseBody
import okhttp3.Route
import okhttp3.TrailersSource
import okhttp3.MediaType.Companion.toMediaTypeOrNull
import okio.Buffer
import okio.BufferedSink
import okio.ForwardingSink
import okio.Source
import okio.Timeout
import okio.buffer

/**
 * Seals the calls of an [OkHttpClient], and with it those of Retrofit and whatever else stands on one: an **application** interceptor, the last
 * of them, in a client that follows no redirects. [sealwire] adds it so.
 *
 * - **Responses** have the inner status and fields; [sealed] has the rest. Under a `streamed` rule bodies come while they arrive, piece by
 *   piece authenticated, **before** the end was seen: if that is cut off, reading throws `Truncated`.
 * - **Redirects** are refused (`Unsealed`), and a client that follows them is `Misuse`. The client's cache is left out, trailers are dropped, and
 *   a duplex body is `Misuse`.
 * - **Authenticators** of the client are never asked: whoever ends TLS can say 401. Refresh tokens in an interceptor before this one, which sees
 *   inner 401s. The proxy's is asked for tunnels alone.
 * - **Request bodies** are held as a whole, up to [maxBody]; those of unknown length, longer ones and those that can be written only once are
 *   sealed while they are sent, which needs a rule with `exchange` and without `seal`.
 * - **Inside** of exchanges goes what the app or an interceptor before this one sets (`Authorization`), and the cookie jar's cookies; of their
 *   answers the jar gets the inner cookies alone. Under rules without `exchange` both are outside, and whoever ends TLS can plant some. What else
 *   the client adds by itself (`User-Agent`, `Accept-Encoding`) is **outside**, and so is what a network interceptor adds. An application
 *   interceptor after this one that changes fields makes calls `Misuse`, once they were sent.
 * - **Timeouts and cancellation** are the client's own.
 *
 * Calls fail with a [SealwireException]: `Misuse` for a URL that no rule covers; `Unsealed` for an answer without the protection that the rule
 * demands; `Rejected`, `NotRecipient`, `Truncated` and the others of [dev.sealwire.open] for one that does not open; `Expired` and `InvalidKey`
 * if the service refuses the request's date or key; `Network`; `Store` if [lastSeen] fails. Only what cannot have an effect twice is repeated,
 * once, for a new service key. What the client itself sends again (after 408, 503 with `Retry-After: 0`, or a connection that broke) is the same
 * bytes, and a service takes an exchange once; under rules without `exchange` it is as without Sealwire. Source: SPEC §18 to §21.
 *
 * ```kotlin
 * val client = OkHttpClient.Builder().sealwire(policy, identity = alice, lastSeen = store).build()
 * ```
 *
 * @param identity signs, and opens what is sealed to it. Closing it later does not take it away from the client.
 * @param keys opens with these instead: a [dev.sealwire.Keyring] with older identities, say.
 * @param lastSeen remembers versions, serials and pins. Without it they are forgotten with the process, and a server may serve old versions to
 *   the next one.
 * @param observer hears of the end of every call.
 * @param maxBody how many bytes a body may have that is held as a whole, on its way out or in.
 */
public class SealwireInterceptor(
    policy: Policy,
    identity: Identity? = null,
    keys: Unlock? = null,
    lastSeen: SecretStore? = null,
    observer: Observer? = null,
    maxBody: Long = MAX_BODY,
) : Interceptor, AutoCloseable {
    private val driver = Driver(policy, identity, keys, lastSeen, observer, maxBody)

    /** For the client. */
    override fun intercept(chain: Interceptor.Chain): Response {
        if (chain.followRedirects) throw SealwireException.Misuse("misuse: a client of sealed calls follows no redirects")
        val request = chain.request()
        if (request.body?.isDuplex() == true) throw SealwireException.Misuse("misuse: a body that is sent while its answer is read")
        val streamed = request.body?.takeIf { it.isOneShot() || it.contentLength() !in 0..driver.maxBody }
        val asked = Driver.Request(
            request.method,
            request.url.newBuilder().fragment(null).build().toString(),
            fields(request, chain.cookieJar),
            bodyOf(request.body, streamed),
            request.tag(SealedCall::class.java),
        )
        val below = alone(chain)
        var outer: Response? = null
        val answer = try {
            blocking {
                driver.answer(asked) { sending ->
                    val sent = sent(request, sending, streamed)
                    val response = network("the request could not be sent", chain) { below.proceed(sent) }
                    outer = response
                    if (response.request.headers != sent.headers) {
                        response.close()
                        throw SealwireException.Misuse("misuse: an interceptor after Sealwire's has changed what was sealed")
                    }
                    Arrived(response, sent, chain)
                }
            }
        } catch (refused: SealwireException.Unsealed) {
            // After some answers OkHttp sends the same again, which a service that had taken it refuses: not what the call ended with.
            throw outer?.priorResponse?.let { SealwireException.Unsealed(it.code) } ?: refused
        }
        val from = outer ?: throw SealwireException.Internal()
        val headers = Headers.Builder()
        answer.fields.forEach { headers.addUnsafeNonAscii(it.name, it.text()) }
        val cookies = Cookie.parseAll(request.url, headers.build())
        if (cookies.isNotEmpty()) chain.cookieJar.saveFromResponse(request.url, cookies)
        val type = headers["content-type"]?.toMediaTypeOrNull()
        val pieces = answer.pieces
        return from.newBuilder()
            .request(request.newBuilder().tag(SealedInfo::class.java, answer.info).build())
            .code(answer.status)
            .message("")
            .headers(headers.build())
            .trailers(TrailersSource.EMPTY)
            .body(pieces?.let { PiecesSource(it).buffer().asResponseBody(type) } ?: answer.body.toResponseBody(type))
            .build()
    }

    /** Gives back what the library holds for it. Calls that have begun end as they would. */
    override fun close(): Unit = driver.close()

    /** The chain without what stands below and speaks for the app: it would believe answers that anybody can make who ends TLS. */
    private fun alone(chain: Interceptor.Chain): Interceptor.Chain {
        val proxy = chain.proxyAuthenticator
        return chain.withCache(null)
            .withAuthenticator(Authenticator.NONE)
            .withCookieJar(CookieJar.NO_COOKIES)
            .withProxyAuthenticator(if (proxy == Authenticator.NONE) proxy else OfTunnels(proxy))
    }

    /** As the client would send them, its body's type and its jar's cookies in the place of the app's own. */
    private fun fields(request: Request, jar: CookieJar): List<Field> {
        val type = request.body?.contentType()?.toString()
        val cookies = jar.loadForRequest(request.url).ifEmpty { null }?.joinToString("; ") { "${it.name}=${it.value}" }
        val replaced = listOfNotNull(type?.let { fieldOf("content-type", it) }, cookies?.let { fieldOf("cookie", it) })
        val own = request.headers.filterNot { (name, _) -> replaced.any { it.name.equals(name, ignoreCase = true) } }
        return own.map { (name, value) -> fieldOf(name, value) } + replaced
    }

    private fun bodyOf(body: RequestBody?, streamed: RequestBody?): CallBody {
        if (body == null || isNone(body)) return CallBody.None
        if (streamed != null) return CallBody.Streamed
        val whole = Buffer()
        // Some say another length than they have.
        val sink = Limited(whole, driver.maxBody).buffer()
        body.writeTo(sink)
        sink.flush()
        return CallBody.Whole(whole.readByteArray())
    }

    /** OkHttp demands a body of a POST; one without length and type is none. */
    private fun isNone(body: RequestBody) = body.contentLength() == 0L && body.contentType() == null

    private fun sent(request: Request, sending: CallStep.Send, streamed: RequestBody?): Request {
        val headers = Headers.Builder()
        sending.fields.forEach { headers.addUnsafeNonAscii(it.name, it.text()) }
        val upload = sending.upload
        val body =
            when {
                upload != null && streamed != null -> SealingBody(streamed, sending.body, Uploading(upload))
                sending.body.isNotEmpty() || sending.method in NEED_BODY -> sending.body.toRequestBody(null)
                else -> null
            }
        return Request.Builder().url(sending.url).headers(headers.build()).method(sending.method, body).build()
    }
}

/** Adds a [SealwireInterceptor] with these parameters, as the last of the interceptors so far, and follows no redirects. */
public fun OkHttpClient.Builder.sealwire(
    policy: Policy,
    identity: Identity? = null,
    keys: Unlock? = null,
    lastSeen: SecretStore? = null,
    observer: Observer? = null,
    maxBody: Long = MAX_BODY,
): OkHttpClient.Builder =
    followRedirects(false)
        .followSslRedirects(false)
        .addInterceptor(SealwireInterceptor(policy, identity, keys, lastSeen, observer, maxBody))

/**
 * What this request says of itself: see [SealedCall]. With Retrofit it is a parameter: `@Tag call: SealedCall`.
 *
 * ```kotlin
 * val request = Request.Builder().url(url).put(body).sealed(to = listOf(bob, carol), version = 2u).build()
 * ```
 */
public fun Request.Builder.sealed(
    to: List<Recipient>? = null,
    version: ULong? = null,
    context: SealContext? = null,
): Request.Builder = tag(SealedCall::class.java, SealedCall(to, version, context))

/** What is known of a response beside what a [Response] can say: of any that no [SealwireInterceptor] made `null`. */
public val Response.sealed: SealedInfo? get() = request.tag(SealedInfo::class.java)

private val NEED_BODY = setOf("POST", "PUT", "PATCH", "PROPPATCH", "REPORT", "QUERY")

private class Arrived(private val response: Response, sent: Request, private val chain: Interceptor.Chain) : Incoming {
    override val status = response.code
    override val fields = response.headers.map { (name, value) -> fieldOf(name, value) }
    override val redirected = response.request.url != sent.url

    override suspend fun read(into: ByteArray): Int =
        network("the connection broke", chain) { response.body.source().read(into) }

    override fun close() = response.close()
}

/** Of a tunnel the proxy itself asks; behind it anybody does who ends TLS. Equal if it asks the same: connections are shared by that. */
private data class OfTunnels(private val own: Authenticator) : Authenticator {
    override fun authenticate(route: Route?, response: Response): Request? =
        if (response.request.method == "CONNECT") own.authenticate(route, response) else null
}

/** The app's body, sealed while it is sent: once, since what it is sealed with is used up. */
private class SealingBody(
    private val own: RequestBody,
    private val front: ByteArray,
    private val upload: Uploading,
) : RequestBody() {
    override fun contentType(): MediaType? = null

    override fun isOneShot() = true

    override fun writeTo(sink: BufferedSink) {
        upload.use {
            sink.write(front)
            val sealing = Sealing(sink, upload).buffer()
            own.writeTo(sealing)
            sealing.flush()
            sink.write(upload.finish())
        }
    }
}

private class Sealing(private val sealed: BufferedSink, private val upload: Uploading) : ForwardingSink(sealed) {
    override fun write(source: Buffer, byteCount: Long) {
        val piece = ByteArray(PIECE)
        var left = byteCount
        while (left > 0) {
            val count = source.read(piece, 0, minOf(left, PIECE.toLong()).toInt())
            sealed.write(upload.push(piece, count))
            left -= count
        }
        piece.fill(0)
    }
}

private class Limited(to: Buffer, private var left: Long) : ForwardingSink(to) {
    override fun write(source: Buffer, byteCount: Long) {
        left -= byteCount
        if (left < 0) throw SealwireException.TooLarge("too large: a body that is sent as a whole")
        super.write(source, byteCount)
    }
}

private class PiecesSource(private val pieces: Driver.Pieces) : Source {
    private val ready = Buffer()

    override fun read(sink: Buffer, byteCount: Long): Long {
        if (ready.size == 0L) ready.write(blocking { pieces.next() } ?: return -1)
        return ready.read(sink, byteCount)
    }

    override fun timeout(): Timeout = Timeout.NONE

    override fun close() {
        ready.clear()
        pieces.close()
    }
}

/** A call that the app cancelled ends as OkHttp ends it. */
private inline fun <R> network(what: String, chain: Interceptor.Chain, work: () -> R): R =
    try {
        network(what, work)
    } catch (broken: SealwireException.Network) {
        val cause = broken.cause
        throw if (chain.call().isCanceled() && cause is IOException) cause else broken
    }
