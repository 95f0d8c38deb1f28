package dev.sealwire

import dev.sealwire.ktor.Sealwire
import dev.sealwire.ktor.sealed
import dev.sealwire.okhttp.sealed
import dev.sealwire.okhttp.sealwire
import dev.sealwire.okhttp.SealwireInterceptor
import io.ktor.client.HttpClient
import io.ktor.client.engine.cio.CIO
import io.ktor.client.plugins.api.Send
import io.ktor.client.plugins.api.createClientPlugin
import io.ktor.client.plugins.cache.HttpCache
import io.ktor.client.plugins.cookies.HttpCookies
import io.ktor.client.request.HttpRequestBuilder
import io.ktor.client.request.get
import io.ktor.client.request.header
import io.ktor.client.request.prepareGet
import io.ktor.client.request.request
import io.ktor.client.request.setBody
import io.ktor.client.request.takeFrom
import io.ktor.client.statement.bodyAsBytes
import io.ktor.client.statement.bodyAsChannel
import io.ktor.client.statement.bodyAsText
import io.ktor.http.ContentType
import io.ktor.http.HttpMethod
import io.ktor.http.content.ByteArrayContent
import io.ktor.http.content.OutgoingContent
import io.ktor.util.toMap
import io.ktor.utils.io.ByteChannel
import io.ktor.utils.io.ByteWriteChannel
import io.ktor.utils.io.close
import io.ktor.utils.io.readAvailable
import io.ktor.utils.io.writeFully
import java.io.IOException
import java.net.InetAddress
import java.net.Proxy
import java.net.ServerSocket
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicReference
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFails
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlinx.coroutines.runBlocking
import okhttp3.Call
import okhttp3.Callback
import okhttp3.Cookie
import okhttp3.CookieJar
import okhttp3.Headers.Companion.headersOf
import okhttp3.HttpUrl
import okhttp3.MediaType.Companion.toMediaType
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.RequestBody
import okhttp3.RequestBody.Companion.toRequestBody
import okhttp3.Response
import okhttp3.ResponseBody
import okhttp3.TrailersSource
import okio.Buffer
import okio.BufferedSink
import retrofit2.Retrofit
import retrofit2.http.Body as RetrofitBody
import retrofit2.http.GET
import retrofit2.http.PUT
import retrofit2.http.Path
import retrofit2.http.Streaming
import retrofit2.http.Tag

internal class OkHttpTest : HttpTest() {
    override fun client(policy: Policy, identity: Identity?, lastSeen: SecretStore?, observer: Observer?, maxBody: Long, redirects: Boolean) =
        object : TestClient {
            val http = OkHttpClient.Builder()
                .sealwire(policy, identity, lastSeen = lastSeen, observer = observer, maxBody = maxBody)
                .followRedirects(redirects)
                .build()

            override fun call(method: String, url: String, body: Body, fields: Map<String, String>, options: SealedCall?): Got {
                val request = Request.Builder().url(url).method(method, requestBody(body, method))
                fields.forEach { (name, value) -> request.header(name, value) }
                if (options != null) request.sealed(options.to, options.version, options.context)
                return http.newCall(request.build()).execute().use { response ->
                    Got(response.code, response.headers.toMap(), response.body.bytes(), response.sealed)
                }
            }

            override fun stream(url: String, piece: (ByteArray) -> Unit) =
                http.newCall(Request.Builder().url(url).build()).execute().use { response ->
                    val source = response.body.source()
                    while (!source.exhausted()) piece(source.readByteArray(source.buffer.size))
                }

            override fun close() = http.interceptors.forEach { (it as SealwireInterceptor).close() }
        }

    private fun requestBody(body: Body, method: String): RequestBody? =
        when (body) {
            Body.None -> if (method == "POST") ByteArray(0).toRequestBody(null) else null
            is Body.Whole -> body.bytes.toRequestBody(body.type.toMediaType())
            is Body.Pieces -> object : RequestBody() {
                override fun contentType() = null

                override fun writeTo(sink: BufferedSink) = body.pieces.forEach { sink.write(it) }
            }
        }

    @Test
    fun `Retrofit calls through it`(): Unit = Service().use { service ->
        val policy = Policy(service.origin, service.pin)
        val api = Retrofit.Builder().baseUrl(service.origin).client(OkHttpClient.Builder().sealwire(policy).build()).build().create(Notes::class.java)
        val note = "a note".toRequestBody("text/plain".toMediaType())
        val put = api.write("17", note, SealedCall()).execute()
        assertEquals("PUT a note", put.body()?.string())
        assertEquals("/notes/17", put.raw().header("x-path"))
        assertEquals("GET ", runBlocking { api.read("18") }.string())
        assertEquals(false, service.seen.any { it.holds("a note") })
        service.hijack = { it.reply(200, "in the clear".encodeToByteArray()) }
        assertCode("Unsealed") { runBlocking { api.read("17") } }
    }

    @Test
    fun `failures reach callbacks, and cancellation is OkHttp's own`() = Service().use { service ->
        val http = OkHttpClient.Builder().sealwire(Policy(service.origin, service.pin)).build()
        service.hijack = { it.reply(503, ByteArray(0)) }
        assertIs<SealwireException.Unsealed>(failure(http.newCall(Request.Builder().url(service.origin).build())))
        val (came, ended) = CountDownLatch(1) to CountDownLatch(1)
        service.hijack = { came.countDown(); ended.await(); it.reply(503, ByteArray(0)) }
        val call = http.newCall(Request.Builder().url(service.origin).build())
        Thread { came.await(); call.cancel() }.start()
        val thrown = failure(call).also { ended.countDown() }
        assertEquals(false, thrown is SealwireException, "$thrown")
        assertNull(OkHttpClient().newCall(Request.Builder().url(service.origin).build()).execute().use { it.sealed })
    }

    @Test
    fun `a forged 401 asks nobody for a token`() = Service().use { service ->
        val seen = service.forging(401, "www-authenticate" to "Bearer")
        var asked = 0
        val http = OkHttpClient.Builder().sealwire(Policy(service.origin, service.pin)).authenticator { _, response ->
            asked++
            response.request.newBuilder().header("Authorization", "Bearer secret-token").build()
        }.build()
        assertCode("Unsealed") { http.get("${service.origin}/notes") }
        assertEquals(0, asked)
        assertEquals(1, seen.size)
        assertFalse("secret-token" in "$seen")
    }

    @Test
    fun `a proxy's authenticator speaks to the proxy alone`() {
        val seen = CopyOnWriteArrayList<String>()
        ServerSocket(0, 5, InetAddress.getLoopbackAddress()).use { proxy ->
            Thread {
                runCatching {
                    while (true) proxy.accept().use { came ->
                        val lines = came.getInputStream().bufferedReader()
                        seen.add(generateSequence { lines.readLine()?.ifEmpty { null } }.joinToString("\n"))
                        val refused = "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=p\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                        came.getOutputStream().write(refused.encodeToByteArray())
                    }
                }
            }.apply { isDaemon = true }.start()
            fun call(origin: String) {
                val pin = Identity.generate(Kem.X25519).recipient.pin.toString()
                val http = OkHttpClient.Builder().sealwire(Policy(origin, pin)).proxy(Proxy(Proxy.Type.HTTP, proxy.localSocketAddress))
                    .proxyAuthenticator { _, response ->
                        val given = response.request.header("Proxy-Authorization")
                        if (given == null) response.request.newBuilder().header("Proxy-Authorization", "Basic secret").build() else null
                    }.build()
                assertFails { http.get("$origin/notes") }
            }
            call("http://localhost:1")
            assertEquals(1, seen.size, "$seen")
            call("https://localhost:1")
            assertTrue(seen.last().startsWith("CONNECT") && "Basic secret" in seen.last(), "$seen")
        }
    }

    @Test
    fun `cookies are inside, and outer ones are nobody's`() {
        val app = { request: AppRequest ->
            AppReply(200, request.fields["cookie"].orEmpty(), mapOf("set-cookie" to "theirs=1; Path=/"))
        }
        Service(app = app).use { service ->
            val jar = object : CookieJar {
                val kept = CopyOnWriteArrayList<Cookie>()

                override fun loadForRequest(url: HttpUrl): List<Cookie> = kept

                override fun saveFromResponse(url: HttpUrl, cookies: List<Cookie>) {
                    kept.addAll(cookies)
                }
            }
            jar.kept.add(Cookie.Builder().name("session").value("secret-cookie").domain("127.0.0.1").build())
            val http = OkHttpClient.Builder().sealwire(Policy(service.origin, service.pin)).cookieJar(jar).build()
            assertEquals("session=secret-cookie", http.get("${service.origin}/notes"))
            assertEquals("session=secret-cookie; theirs=1", http.get("${service.origin}/notes"))
            assertFalse(service.seen.any { it.holds("secret-cookie") })
            val kept = jar.kept.size
            service.forging(200, "set-cookie" to "session=forged")
            assertCode("Unsealed") { http.get("${service.origin}/notes") }
            assertEquals(kept, jar.kept.size)
        }
    }

    @Test
    fun `an interceptor after Sealwire's is told that it is in the wrong place`(): Unit = Service().use { service ->
        val http = OkHttpClient.Builder().sealwire(Policy(service.origin, service.pin))
            .addInterceptor { it.proceed(it.request().newBuilder().header("Authorization", "Bearer token").build()) }.build()
        assertCode("Misuse") { http.get("${service.origin}/notes") }
    }

    @Test
    fun `a body that was cut off fails however often it is read`(): Unit = Service().use { service ->
        val http = OkHttpClient.Builder().sealwire(everything(service, streamed = true)).build()
        service.tamper = { ByteArray(0) }
        http.newCall(Request.Builder().url("${service.origin}/notes").build()).execute().use { response ->
            val source = response.body.source()
            // As an interceptor does that shows bodies, and drops what they throw.
            assertCode("Truncated") { source.request(Long.MAX_VALUE) }
            assertCode("Truncated") { source.readByteArray() }
            assertCode("Truncated") { source.read(Buffer().also { source.buffer.clear() }, 1) }
        }
    }

    @Test
    fun `trailers are dropped, since nobody vouches for them`() = Service().use { service ->
        val forged = object : TrailersSource {
            override fun get() = headersOf("x-forged", "1")
        }
        val http = OkHttpClient.Builder().sealwire(Policy(service.origin, service.pin))
            .addNetworkInterceptor { it.proceed(it.request()).newBuilder().trailers(forged).build() }.build()
        http.newCall(Request.Builder().url("${service.origin}/notes").build()).execute().use { response ->
            assertEquals("GET ", response.body.string())
            assertEquals(0, response.trailers().size)
        }
    }

    @Test
    fun `a duplex body is Misuse`() = Service().use { service ->
        val http = OkHttpClient.Builder().sealwire(everything(service, streamed = true)).build()
        val body = object : RequestBody() {
            override fun contentType() = null

            override fun isDuplex() = true

            override fun writeTo(sink: BufferedSink) = sink.close()
        }
        assertCode("Misuse") { http.newCall(Request.Builder().url(service.origin).post(body).build()).execute() }
        assertEquals(0, service.seen.size)
    }

    @Test
    fun `what OkHttp sends again opens, and a streamed body is not sent again`() = Service().use { service ->
        val http = OkHttpClient.Builder().sealwire(everything(service, streamed = true)).build()
        for (status in listOf(408, 503)) {
            val seen = service.forging(status, "retry-after" to "0", times = 1)
            assertEquals("GET ", http.get("${service.origin}/notes"))
            assertEquals(1, seen.size)
        }
        val seen = service.forging(503, "retry-after" to "0")
        val body = requestBody(Body.Pieces(sequenceOf(ByteArray(9))), "POST")!!
        assertCode("Unsealed") { http.newCall(Request.Builder().url(service.origin).post(body).build()).execute() }
        assertEquals(1, seen.size)
    }

    @Test
    fun `what the service had taken when OkHttp sends it again has no effect twice, and the first answer is told`() {
        val taken = CopyOnWriteArrayList<String>()
        Service(app = { request -> echo(request).also { taken.add(request.method) } }).use { service ->
            val http = OkHttpClient.Builder().sealwire(everything(service)).build()
            assertEquals("GET ", http.get("${service.origin}/notes"))
            for (status in listOf(408, 503)) for (method in listOf("GET", "POST")) {
                taken.clear()
                service.seen.clear()
                service.lost.set(status)
                val request = Request.Builder().url("${service.origin}/notes").method(method, requestBody(Body.None, method)).build()
                val thrown = assertIs<SealwireException.Unsealed>(assertFails { http.newCall(request).execute() })
                assertEquals(status, thrown.status)
                assertEquals(listOf(method), taken)
                assertEquals(2, service.seen.size)
            }
        }
    }

    private fun OkHttpClient.get(url: String): String =
        newCall(Request.Builder().url(url).build()).execute().use { it.body.string() }

    private fun failure(call: Call): IOException? {
        val thrown = AtomicReference<IOException>()
        val done = CountDownLatch(1)
        call.enqueue(object : Callback {
            override fun onFailure(call: Call, e: IOException) {
                thrown.set(e)
                done.countDown()
            }

            override fun onResponse(call: Call, response: Response) = done.countDown()
        })
        done.await(20, TimeUnit.SECONDS)
        return thrown.get()
    }
}

internal interface Notes {
    @PUT("notes/{id}")
    fun write(@Path("id") id: String, @RetrofitBody note: RequestBody, @Tag call: SealedCall): retrofit2.Call<ResponseBody>

    @Streaming
    @GET("notes/{id}")
    suspend fun read(@Path("id") id: String): ResponseBody
}

internal class KtorTest : HttpTest() {
    override fun client(policy: Policy, identity: Identity?, lastSeen: SecretStore?, observer: Observer?, maxBody: Long, redirects: Boolean) =
        object : TestClient {
            val http = HttpClient(CIO) {
                followRedirects = redirects
                install(Sealwire) {
                    this.policy = policy
                    this.identity = identity
                    this.lastSeen = lastSeen
                    this.observer = observer
                    this.maxBody = maxBody
                }
            }

            override fun call(method: String, url: String, body: Body, fields: Map<String, String>, options: SealedCall?): Got = runBlocking {
                val response = http.request(url) {
                    this.method = HttpMethod(method)
                    fields.forEach { (name, value) -> header(name, value) }
                    if (options != null) sealed(options.to, options.version, options.context)
                    when (body) {
                        Body.None -> {}
                        is Body.Whole -> setBody(ByteArrayContent(body.bytes, ContentType.parse(body.type)))
                        is Body.Pieces -> setBody(object : OutgoingContent.WriteChannelContent() {
                            override suspend fun writeTo(channel: ByteWriteChannel) = body.pieces.forEach { channel.writeFully(it) }
                        })
                    }
                }
                val named = response.headers.toMap().map { (name, values) -> name.lowercase() to values.first() }.toMap()
                Got(response.status.value, named, response.bodyAsBytes(), response.sealed)
            }

            override fun stream(url: String, piece: (ByteArray) -> Unit) =
                try {
                    pieces(url, piece)
                } catch (wrapped: IOException) {
                    throw generateSequence<Throwable>(wrapped) { it.cause }.last()
                }

            private fun pieces(url: String, piece: (ByteArray) -> Unit) = runBlocking {
                http.prepareGet(url).execute { response ->
                    val channel = response.bodyAsChannel()
                    // What has failed by then has not ended.
                    kotlinx.coroutines.delay(50)
                    val room = ByteArray(1000)
                    while (true) {
                        val count = channel.readAvailable(room)
                        if (count < 0) break
                        piece(room.copyOf(count))
                    }
                }
            }

            override fun close() = http.close()
        }

    /** Asks again with a token when it sees a 401, as Ktor's `Auth` does. */
    private val tokens = createClientPlugin("Tokens") {
        on(Send) { request ->
            val call = proceed(request)
            if (call.response.status.value != 401) return@on call
            proceed(HttpRequestBuilder().takeFrom(request).apply { header("Authorization", "Bearer secret-token") })
        }
    }

    @Test
    fun `a plugin that stands between Sealwire and the network writes no token there`() = Service().use { service ->
        val seen = service.forging(401, "www-authenticate" to "Bearer")
        HttpClient(CIO) {
            followRedirects = false
            install(Sealwire) { policy = everything(service) }
            install(tokens)
        }.use { http ->
            assertCode("Misuse") { runBlocking { http.get("${service.origin}/notes") } }
            assertEquals(1, seen.size)
            assertFalse("secret-token" in "$seen")
        }
    }

    @Test
    fun `a plugin that was installed before Sealwire sees what is inside`() {
        val app = { request: AppRequest ->
            val token = request.fields["authorization"]
            if (token == null) AppReply(401, "who?") else AppReply(200, token)
        }
        Service(app = app).use { service ->
            HttpClient(CIO) {
                followRedirects = false
                install(tokens)
                install(Sealwire) { policy = everything(service) }
            }.use { http ->
                assertEquals("Bearer secret-token", runBlocking { http.get("${service.origin}/notes").bodyAsText() })
                assertFalse(service.seen.any { it.holds("secret-token") })
                val seen = service.forging(401, "www-authenticate" to "Bearer")
                assertCode("Unsealed") { runBlocking { http.get("${service.origin}/notes") } }
                assertEquals(1, seen.size)
            }
        }
    }

    @Test
    fun `Ktor's cookies and cache believe outer answers, and are Misuse`() = Service().use { service ->
        for (plugin in listOf(HttpCookies, HttpCache)) {
            HttpClient(CIO) {
                followRedirects = false
                install(plugin)
                install(Sealwire) { policy = everything(service) }
            }.use { http -> assertCode("Misuse") { runBlocking { http.get("${service.origin}/notes") } } }
        }
        assertEquals(0, service.seen.size)
    }

    @Test
    fun `a body that was cut off fails however often it is read`(): Unit = Service().use { service ->
        HttpClient(CIO) {
            followRedirects = false
            install(Sealwire) { policy = everything(service, streamed = true) }
        }.use { http ->
            service.tamper = { ByteArray(0) }
            runBlocking {
                http.prepareGet("${service.origin}/notes").execute { response ->
                    val channel = response.bodyAsChannel()
                    val room = ByteArray(1000)
                    assertFails { while (channel.readAvailable(room) >= 0) {} }
                    assertFails { channel.readAvailable(room) }
                }
            }
        }
    }

    @Test
    fun `a channel that has failed is no end of a body`() {
        val failed = object : OutgoingContent.ReadChannelContent() {
            override fun readFrom() = ByteChannel().apply { close(IOException("the disk is gone")) }
        }
        Service().use { service ->
            HttpClient(CIO) {
                followRedirects = false
                install(Sealwire) { policy = everything(service, streamed = true) }
            }.use { http ->
                assertFails { runBlocking { http.request("${service.origin}/x") { method = HttpMethod.Post; setBody(failed) } } }
            }
        }
    }
}

/** Answers as whoever ends TLS can, whatever comes but for the service's keys; gives the fields that came. */
private fun Service.forging(status: Int, vararg fields: Pair<String, String>, times: Int = Int.MAX_VALUE): List<String> {
    val seen = CopyOnWriteArrayList<String>()
    hijack = { exchange ->
        if (exchange.requestURI.path.startsWith("/.well-known") || seen.size >= times) {
            false
        } else {
            seen.add("${exchange.requestHeaders.toMap()}")
            exchange.reply(status, "forged".encodeToByteArray(), *fields)
        }
    }
    return seen
}
