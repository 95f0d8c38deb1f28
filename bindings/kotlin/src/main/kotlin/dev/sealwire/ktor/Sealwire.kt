package dev.sealwire.ktor

import dev.sealwire.Driver
import dev.sealwire.Identity
import dev.sealwire.Incoming
import dev.sealwire.MAX_BODY
import dev.sealwire.Observer
import dev.sealwire.PIECE
import dev.sealwire.Policy
import dev.sealwire.Recipient
import dev.sealwire.SealContext
import dev.sealwire.SealedCall
import dev.sealwire.SealedInfo
import dev.sealwire.SealwireException
import dev.sealwire.SecretStore
import dev.sealwire.Unlock
import dev.sealwire.Uploading
import dev.sealwire.ffi.CallBody
import dev.sealwire.ffi.CallStep
import dev.sealwire.ffi.Field
import dev.sealwire.fieldOf
import dev.sealwire.text
import io.ktor.client.HttpClient
import io.ktor.client.call.HttpClientCall
import io.ktor.client.plugins.HttpRedirect
import io.ktor.client.plugins.api.ClientPlugin
import io.ktor.client.plugins.api.Send
import io.ktor.client.plugins.api.createClientPlugin
import io.ktor.client.plugins.cache.HttpCache
import io.ktor.client.plugins.cookies.HttpCookies
import io.ktor.client.plugins.pluginOrNull
import io.ktor.client.request.HttpRequestBuilder
import io.ktor.client.request.HttpResponseData
import io.ktor.client.request.HttpSendPipeline
import io.ktor.client.request.setBody
import io.ktor.client.statement.HttpResponse
import io.ktor.client.statement.bodyAsChannel
import io.ktor.client.statement.request
import io.ktor.http.ContentType
import io.ktor.http.Headers
import io.ktor.http.HttpMethod
import io.ktor.http.HttpStatusCode
import io.ktor.http.Url
import io.ktor.http.content.OutgoingContent
import io.ktor.http.takeFrom
import io.ktor.util.AttributeKey
import io.ktor.util.pipeline.PipelinePhase
import io.ktor.util.toMap
import io.ktor.utils.io.ByteReadChannel
import io.ktor.utils.io.ByteWriteChannel
import io.ktor.utils.io.InternalAPI
import io.ktor.utils.io.cancel
import io.ktor.utils.io.readAvailable
import io.ktor.utils.io.writeFully
import io.ktor.utils.io.writer
import java.io.ByteArrayOutputStream
import kotlin.coroutines.cancellation.CancellationException
import kotlinx.coroutines.CompletableJob
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.withContext

/** What [Sealwire] calls with. */
public class SealwireConfig {
    /** What is done with which URL. There is none by default, and then no call. */
    public var policy: Policy? = null

    /** Signs, and opens what is sealed to it. Closing it later does not take it away from the client. */
    public var identity: Identity? = null

    /** Opens with these in the identity's place: a [dev.sealwire.Keyring] with older identities, say. */
    public var keys: Unlock? = null

    /**
     * Remembers versions, serials and pins. Without it they are forgotten with the process, and a server may serve old versions to the next one.
     */
    public var lastSeen: SecretStore? = null

    /** Hears of the end of every call. */
    public var observer: Observer? = null

    /** How many bytes a body may have that is held as a whole, on its way out or in: 64 MiB, unless told otherwise. */
    public var maxBody: Long = MAX_BODY
}

/**
 * Seals the calls of a Ktor client: everything that [dev.sealwire.okhttp.SealwireInterceptor] says of responses, request bodies, errors and
 * repetition is so here too. A client that follows redirects is `Misuse`, and so is one with Ktor's cookies or cache: both would believe outer
 * answers, which anybody can make who ends TLS.
 *
 * **Install it last**: plugins that were installed before it, such as Ktor's `Auth`, see inner responses; one that was installed after it sees outer
 * ones, and if it changes a request because of them, say for a forged 401, the call is `Misuse` and that request is not sent. What an engine does by
 * itself (an authenticator or a cookie jar in its own configuration) nobody can see here: leave it out.
 *
 * Under a `streamed` rule read with `prepareGet(url).execute { it.bodyAsChannel() }`: elsewhere Ktor itself holds bodies as a whole. If such a
 * body does not end as it should, Ktor throws an `IOException` of its own, whose innermost cause is the [SealwireException].
 *
 * ```kotlin
 * val client = HttpClient(CIO) {
 *     followRedirects = false
 *     install(Sealwire) {
 *         policy = Policy("https://api.example.com", "sealwire-pin1…")
 *         identity = alice
 *     }
 * }
 * ```
 */
public val Sealwire: ClientPlugin<SealwireConfig> =
    createClientPlugin("Sealwire", ::SealwireConfig) {
        val config = pluginConfig
        val policy = config.policy ?: throw SealwireException.Misuse("misuse: a client of sealed calls has a policy")
        val driver = Driver(policy, config.identity, config.keys, config.lastSeen, config.observer, config.maxBody)
        onClose(driver::close)
        client.sendPipeline.insertPhaseBefore(HttpSendPipeline.Engine, UNCHANGED)
        client.sendPipeline.intercept(UNCHANGED) {
            if (context.attributes.getOrNull(SENT)?.let { it == Sent(context) } != true) {
                throw SealwireException.Misuse("misuse: a plugin that was installed after Sealwire has changed what was sealed")
            }
        }
        on(Send) { request ->
            if (client.pluginOrNull(HttpRedirect) != null) {
                throw SealwireException.Misuse("misuse: a client of sealed calls follows no redirects")
            }
            if (client.pluginOrNull(HttpCookies) != null || client.pluginOrNull(HttpCache) != null) {
                throw SealwireException.Misuse("misuse: a client of sealed calls has no cookies or cache of Ktor's")
            }
            // Stores may block.
            withContext(Dispatchers.IO) { Calling(client, driver, request, ::proceed).call() }
        }
        // Ktor has put a channel of its own before ours.
        transformResponseBody { response, content, type ->
            if (type.type == ByteReadChannel::class && response.sealed != null) Certain(content) else null
        }
    }

/**
 * What this request says of itself: see [SealedCall].
 *
 * ```kotlin
 * client.put(url) {
 *     setBody(note)
 *     sealed(to = listOf(bob, carol), version = 2u)
 * }
 * ```
 */
public fun HttpRequestBuilder.sealed(
    to: List<Recipient>? = null,
    version: ULong? = null,
    context: SealContext? = null,
): Unit = attributes.put(OPTIONS, SealedCall(to, version, context))

/** What is known of a response beside what an [HttpResponse] can say: of any that [Sealwire] has not made `null`. */
public val HttpResponse.sealed: SealedInfo? get() = request.attributes.getOrNull(INFO)

private val OPTIONS = AttributeKey<SealedCall>("dev.sealwire.call")
private val INFO = AttributeKey<SealedInfo>("dev.sealwire.info")
private val SENT = AttributeKey<Sent>("dev.sealwire.sent")

/** The last phase before the engine. */
private val UNCHANGED = PipelinePhase("Sealwire")

/** What goes out in the clear. */
private data class Sent(private val method: HttpMethod, private val url: String, private val fields: Headers) {
    constructor(request: HttpRequestBuilder) : this(request.method, request.url.buildString(), request.headers.build())
}

/** One call, on its way through the driver. */
private class Calling(
    private val client: HttpClient,
    private val driver: Driver,
    private val request: HttpRequestBuilder,
    private val proceed: suspend (HttpRequestBuilder) -> HttpClientCall,
) {
    private val content = request.body as? OutgoingContent ?: throw SealwireException.Misuse("misuse: a body of an unknown kind")
    private var outer: HttpClientCall? = null

    // The only way to a response with a status of its own: what Ktor has for everybody, `replaceResponse`, keeps the outer one's, and a subclass
    // of `HttpResponse` has to implement what is internal.
    @OptIn(InternalAPI::class)
    suspend fun call(): HttpClientCall {
        val url = request.url.buildString().substringBefore('#')
        val asked = Driver.Request(request.method.value, url, fields(), body(), request.attributes.getOrNull(OPTIONS))
        val answer = driver.answer(asked) { sending -> send(sending) }
        val from = outer?.response ?: throw SealwireException.Internal()
        val headers = Headers.build { answer.fields.forEach { append(it.name, it.text()) } }
        request.attributes.put(INFO, answer.info)
        val pieces = answer.pieces
        val body = if (pieces == null) ByteReadChannel(answer.body) else pieces.channel(CoroutineScope(from.coroutineContext))
        val status = HttpStatusCode.fromValue(answer.status)
        // What is whole outlives the outer call, which has ended.
        val context = if (pieces == null) from.coroutineContext + Job() else from.coroutineContext
        val data = HttpResponseData(status, from.requestTime, headers, from.version, body, context)
        return HttpClientCall(client, request.build(), data)
    }

    private fun fields(): List<Field> {
        val own = request.headers.build().toMap() + content.headers.toMap()
        val type = content.contentType?.let { mapOf("content-type" to listOf(it.toString())) }.orEmpty()
        return (own.filterKeys { type.isEmpty() || !it.equals("content-type", ignoreCase = true) } + type)
            .flatMap { (name, values) -> values.map { fieldOf(name, it) } }
    }

    private suspend fun body(): CallBody =
        when (val content = content.unwrapped()) {
            is OutgoingContent.NoContent -> CallBody.None
            is OutgoingContent.ByteArrayContent -> {
                val bytes = content.bytes()
                if (bytes.size > driver.maxBody) CallBody.Streamed else CallBody.Whole(bytes)
            }
            else -> {
                val length = content.contentLength
                if (length == null || length > driver.maxBody) CallBody.Streamed else CallBody.Whole(read(content))
            }
        }

    /** Some say another length than they have. */
    private suspend fun read(content: OutgoingContent): ByteArray {
        val all = ByteArrayOutputStream()
        pump(content) { piece, count ->
            if (all.size() + count > driver.maxBody) throw TOO_LARGE
            all.write(piece, 0, count)
        }
        return all.toByteArray()
    }

    // With `takeFrom`, which is for everybody, a call that the app cancels would go on.
    @OptIn(InternalAPI::class)
    private suspend fun send(sending: CallStep.Send): Incoming {
        val sent = HttpRequestBuilder().takeFromWithExecutionContext(request)
        sent.method = HttpMethod(sending.method)
        sent.url.takeFrom(Url(sending.url))
        if (sent.url.buildString() != sending.url) throw SealwireException.Misuse("misuse: a URL that Ktor writes otherwise")
        sent.headers.clear()
        val (types, others) = sending.fields.partition { it.name == "content-type" }
        others.forEach { sent.headers.append(it.name, it.text()) }
        val type = types.firstOrNull()?.let { ContentType.parse(it.text()) }
        val upload = sending.upload
        sent.setBody(
            when {
                upload != null -> Sealing(type, sending.body, Uploading(upload))
                sending.body.isNotEmpty() || type != null -> Bytes(type, sending.body)
                else -> NoBody
            },
        )
        // The body is read here, not by Ktor, which would hold it as a whole.
        sent.attributes.put(SKIP_SAVING, Unit)
        sent.attributes.put(SENT, Sent(sent))
        return network("the request could not be sent") {
            val response = proceed(sent).also { outer = it }.response
            Arrived(response, response.bodyAsChannel(), sending.url)
        }
    }

    private inner class Sealing(
        override val contentType: ContentType?,
        private val front: ByteArray,
        private val upload: Uploading,
    ) : OutgoingContent.WriteChannelContent() {
        override suspend fun writeTo(channel: ByteWriteChannel) {
            upload.use {
                channel.writeFully(front)
                pump(content) { piece, count ->
                    channel.writeFully(upload.push(piece, count))
                    channel.flush()
                }
                channel.writeFully(upload.finish())
                channel.flush()
            }
        }
    }
}

private class Bytes(override val contentType: ContentType?, private val bytes: ByteArray) : OutgoingContent.ByteArrayContent() {
    override val contentLength get() = bytes.size.toLong()

    override fun bytes() = bytes
}

private object NoBody : OutgoingContent.NoContent()

/** One that is given up before its end ends its call: else the connection would be held until the server says more, or for ever. */
private class Arrived(private val response: HttpResponse, private val channel: ByteReadChannel, url: String) : Incoming {
    override val status = response.status.value
    override val fields = response.headers.toMap().flatMap { (name, values) -> values.map { fieldOf(name, it) } }
    override val redirected = response.request.url.toString() != url

    @Volatile private var ended = false

    override suspend fun read(into: ByteArray): Int =
        network("the connection broke") { channel.readPiece(into) }.also { if (it < 0) ended = true }

    override fun close() {
        // Else what copies into it would wait for ever for somebody who reads.
        channel.cancel(null)
        val call = response.coroutineContext[Job]
        if (ended) (call as? CompletableJob)?.complete() else call?.cancel()
    }
}

/** The pieces, as a channel of Ktor's. */
private fun Driver.Pieces.channel(scope: CoroutineScope): ByteReadChannel =
    Certain(
        scope.writer(Dispatchers.IO) {
            use { pieces ->
                while (true) {
                    channel.writeFully(pieces.next() ?: break)
                    channel.flush()
                }
            }
        }.channel,
    )

/** Ktor's channels say of one that has failed before it was read that it has ended, and an answer that was cut off would look whole. */
private class Certain(private val pieces: ByteReadChannel) : ByteReadChannel by pieces {
    override val isClosedForRead: Boolean get() = pieces.closedCause == null && pieces.isClosedForRead
}

/** The same for a channel of others. */
private suspend fun ByteReadChannel.readPiece(into: ByteArray): Int {
    val count = readAvailable(into)
    if (count < 0) closedCause?.let { throw it }
    return count
}

private fun OutgoingContent.unwrapped(): OutgoingContent =
    if (this is OutgoingContent.ContentWrapper) delegate().unwrapped() else this

/** Gives the content, piece by piece. */
private suspend fun pump(content: OutgoingContent, take: suspend (ByteArray, Int) -> Unit) {
    when (val own = content.unwrapped()) {
        is OutgoingContent.ReadChannelContent -> pump(own.readFrom(), take)
        is OutgoingContent.ByteArrayContent -> pump(ByteReadChannel(own.bytes()), take)
        is OutgoingContent.WriteChannelContent -> kotlinx.coroutines.coroutineScope {
            pump(writer(Dispatchers.IO) { own.writeTo(channel) }.channel, take)
        }
        else -> throw SealwireException.Misuse("misuse: a body of an unknown kind")
    }
}

private suspend fun pump(from: ByteReadChannel, take: suspend (ByteArray, Int) -> Unit) {
    val piece = ByteArray(PIECE)
    while (true) {
        val count = from.readPiece(piece)
        if (count < 0) break
        take(piece, count)
    }
    piece.fill(0)
}

/** Not all that Ktor's engines throw is an `IOException`. */
private inline fun <R> network(what: String, work: () -> R): R =
    try {
        work()
    } catch (own: SealwireException) {
        throw own
    } catch (cancelled: CancellationException) {
        throw cancelled
    } catch (cause: Exception) {
        throw SealwireException.Network("network failed: $what", cause)
    }

/**
 * Ktor's own mark of a response that it does not hold as a whole, which it sets for `prepareGet(url).execute { … }` and lets nobody else set. A Ktor
 * that has another would hold what a hostile server sends, without a limit: a test sees that.
 */
private val SKIP_SAVING = AttributeKey<Unit>("SkipSaveBody")

private val TOO_LARGE get() = SealwireException.TooLarge("too large: a body that is sent as a whole")
