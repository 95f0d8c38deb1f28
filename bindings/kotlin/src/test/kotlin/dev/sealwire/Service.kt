package dev.sealwire

import com.sun.net.httpserver.HttpExchange
import com.sun.net.httpserver.HttpServer
import dev.sealwire.ffi.Exchanges
import dev.sealwire.ffi.Field
import dev.sealwire.ffi.Gate
import dev.sealwire.ffi.GateOptions
import dev.sealwire.ffi.GateStep
import dev.sealwire.ffi.MemoryReplayCache
import dev.sealwire.ffi.Passage
import dev.sealwire.ffi.ServiceKeys
import dev.sealwire.ffi.Signers
import dev.sealwire.ffi.Verify
import java.io.ByteArrayOutputStream
import java.net.InetAddress
import java.net.InetSocketAddress
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.Executors
import java.util.concurrent.atomic.AtomicReference

/** What the app of a test gets. */
internal class AppRequest(val method: String, val path: String, val fields: Map<String, String>, val body: ByteArray, val signer: String?)

/** What it answers, in pieces. */
internal class AppReply(val status: Int, val fields: Map<String, String>, val pieces: Sequence<ByteArray>) {
    constructor(status: Int, body: String, fields: Map<String, String> = emptyMap()) : this(status, fields, sequenceOf(body.encodeToByteArray()))
}

/** A service on loopback, whose gate is that of the library's servers: what a test changes about it is hostile. */
internal class Service(
    verify: Boolean = false,
    signers: List<Signer> = emptyList(),
    plain: List<String> = listOf("/stored/{id}", "/stored"),
    private val app: (AppRequest) -> AppReply = ::echo,
) : AutoCloseable {
    private val server: HttpServer = HttpServer.create(InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0)
    val origin = "http://127.0.0.1:${server.address.port}"
    private val identity = dev.sealwire.ffi.Identity.generate(Kem.X25519.raw)
    val pin: String = identity.recipient().pin()
    private val signed = MemoryReplayCache(10_000u, now() - 5u)
    private val unsigned = MemoryReplayCache(10_000u, now() - 5u)
    private val demand = if (verify) Verify(Signers.Known(signers.map { it.text })) else null
    private val excepted = plain

    @Volatile var gate = gate()

    /** Takes the whole request, in place of the service, if it says so. */
    @Volatile var hijack: (HttpExchange) -> Boolean = { false }

    /** Changes what the service sends: status and body. */
    @Volatile var tamper: (ByteArray) -> ByteArray = { it }

    /** The status that a proxy says in the place of the next answer, once the service has given it. */
    val lost = AtomicReference<Int?>()

    /** What came: request line, fields and body. */
    val seen = CopyOnWriteArrayList<Seen>()

    class Seen(val method: String, val path: String, val fields: Map<String, List<String>>, val body: ByteArray) {
        fun holds(text: String) = "$path $fields".contains(text) || String(body, Charsets.ISO_8859_1).contains(text)
    }

    init {
        server.executor = Executors.newCachedThreadPool { work -> Thread(work).apply { isDaemon = true } }
        server.createContext("/") { exchange ->
            exchange.use { if (!hijack(it)) serve(it) }
        }
        server.start()
    }

    /** A service of the same identity that knows none of its keys any more. */
    fun gate(kem: Kem = Kem.X25519) = Gate(
        GateOptions(
            origin,
            exchanges = Exchanges(ServiceKeys.generate(kem.raw, now()), identity, tunnel = "/tunnel"),
            verify = demand,
            plain = excepted,
        ),
    )

    override fun close() = server.stop(0)

    private fun serve(exchange: HttpExchange) {
        val fields = exchange.requestHeaders.flatMap { (name, values) -> values.map { Field(name.lowercase(), it.encodeToByteArray()) } }
        val path = exchange.requestURI.toString()
        val hasBody = exchange.requestHeaders.containsKey("Transfer-encoding") || (exchange.requestHeaders.getFirst("Content-length") ?: "0") != "0"
        val raw = ByteArrayOutputStream()
        val entered = gate.enter(exchange.requestMethod, path, fields, hasBody, now())
        val passage = entered.passage
        var step = entered.step
        val piece = ByteArray(16 * 1024)
        while (true) {
            when (val todo = step) {
                is GateStep.Answer -> {
                    see(exchange, raw)
                    return send(exchange, todo.answer.status.toInt(), todo.answer.fields, todo.answer.body)
                }
                GateStep.Read -> {
                    val count = exchange.requestBody.read(piece)
                    if (count > 0) raw.write(piece, 0, count)
                    step = if (count < 0) passage.finish(now()) else calling { passage.push(lend(piece, 0, count), now()) }
                }
                is GateStep.Remember -> {
                    val cache = if (todo.signed) signed else unsigned
                    step = passage.inserted(calling { cache.insert(lend(todo.id), todo.made, todo.until, now()) }, false, now())
                }
                GateStep.Plain -> {
                    exchange.requestBody.copyTo(raw)
                    see(exchange, raw)
                    val named = fields.associate { it.name to it.value.decodeToString() }
                    val reply = app(AppRequest(exchange.requestMethod, path, named, raw.toByteArray(), null))
                    return send(exchange, reply.status, reply.fields.map { (name, value) -> fieldOf(name, value) }, reply.pieces.fold(ByteArray(0), ByteArray::plus))
                }
                is GateStep.Admitted -> {
                    val request = todo.request
                    val body = ByteArrayOutputStream().apply { write(request.content) }
                    see(exchange, raw)
                    val named = request.fields.associate { it.name to it.value.decodeToString() }
                    answer(exchange, passage, request.isSealed, request.isStreamed, app(AppRequest(request.method, request.pathAndQuery, named, body.toByteArray(), request.signer)))
                    return
                }
            }
        }
    }

    private fun answer(exchange: HttpExchange, passage: Passage, sealed: Boolean, streamed: Boolean, reply: AppReply) {
        val fields = reply.fields.map { (name, value) -> fieldOf(name, value) }
        if (!streamed) {
            val whole = reply.pieces.fold(ByteArray(0), ByteArray::plus)
            if (!sealed) return send(exchange, reply.status, fields, whole)
            val message = calling { passage.seal(reply.status.toUShort(), fields, lend(whole)) }
            return send(exchange, message.status.toInt(), message.fields, message.body)
        }
        val begun = passage.stream(reply.status.toUShort(), fields)
        begun.answer.fields.forEach { exchange.responseHeaders.add(it.name, it.value.decodeToString()) }
        exchange.sendResponseHeaders(begun.answer.status.toInt(), 0)
        val out = exchange.responseBody
        out.write(begun.answer.body)
        out.flush()
        val sealing = begun.body!!
        for (piece in reply.pieces) {
            out.write(calling { sealing.push(lend(piece)) })
            out.flush()
        }
        out.write(tamper(sealing.finish()))
    }

    private fun see(exchange: HttpExchange, body: ByteArrayOutputStream) {
        seen.add(Seen(exchange.requestMethod, exchange.requestURI.toString(), exchange.requestHeaders.toMap(), body.toByteArray()))
    }

    private fun send(exchange: HttpExchange, status: Int, fields: List<Field>, body: ByteArray) {
        lost.getAndSet(null)?.let { said ->
            exchange.reply(said, ByteArray(0), "retry-after" to "0")
            return
        }
        fields.filter { it.name != "content-length" }.forEach { exchange.responseHeaders.add(it.name, it.value.decodeToString()) }
        val sent = if (exchange.requestURI.path.startsWith("/.well-known")) body else tamper(body)
        val none = sent.isEmpty() || exchange.requestMethod == "HEAD" || status == 204 || status == 304
        exchange.sendResponseHeaders(status, if (none) -1 else sent.size.toLong())
        if (!none) exchange.responseBody.write(sent)
    }
}

/** Says what came. */
internal fun echo(request: AppRequest): AppReply =
    AppReply(
        200,
        mapOf("content-type" to "text/plain", "x-path" to request.path, "x-authorization" to request.fields["authorization"].orEmpty(), "x-signer" to request.signer.orEmpty()),
        sequenceOf(request.method.encodeToByteArray(), " ".encodeToByteArray(), request.body),
    )

internal fun now(): ULong = (System.currentTimeMillis() / 1000).toULong()

internal fun HttpExchange.reply(status: Int, body: ByteArray, vararg fields: Pair<String, String>): Boolean {
    requestBody.readAllBytes()
    fields.forEach { (name, value) -> responseHeaders.add(name, value) }
    sendResponseHeaders(status, if (body.isEmpty()) -1 else body.size.toLong())
    if (body.isNotEmpty()) responseBody.write(body)
    return true
}
