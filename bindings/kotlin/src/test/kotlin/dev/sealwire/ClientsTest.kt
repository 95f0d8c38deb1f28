package dev.sealwire

import dev.sealwire.ktor.Sealwire
import dev.sealwire.ktor.sealed
import dev.sealwire.okhttp.sealed
import dev.sealwire.okhttp.sealwire
import dev.sealwire.okhttp.SealwireInterceptor
import io.ktor.client.HttpClient
import io.ktor.client.engine.cio.CIO
import io.ktor.client.request.header
import io.ktor.client.request.prepareGet
import io.ktor.client.request.request
import io.ktor.client.request.setBody
import io.ktor.client.statement.bodyAsBytes
import io.ktor.client.statement.bodyAsChannel
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
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicReference
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFails
import kotlin.test.assertIs
import kotlin.test.assertNull
import kotlinx.coroutines.runBlocking
import okhttp3.Call
import okhttp3.Callback
import okhttp3.MediaType.Companion.toMediaType
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.RequestBody
import okhttp3.RequestBody.Companion.toRequestBody
import okhttp3.Response
import okhttp3.ResponseBody
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
    fun `Retrofit calls through it`() = Service().use { service ->
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
        val came = CountDownLatch(1)
        service.hijack = { came.countDown(); Thread.sleep(2000); it.reply(503, ByteArray(0)) }
        val call = http.newCall(Request.Builder().url(service.origin).build())
        Thread { came.await(); call.cancel() }.start()
        val thrown = failure(call)
        assertEquals(false, thrown is SealwireException, "$thrown")
        assertNull(OkHttpClient().newCall(Request.Builder().url(service.origin).build()).execute().use { it.sealed })
    }

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
