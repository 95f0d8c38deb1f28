package dev.sealwire

import java.net.InetAddress
import java.net.ServerSocket
import java.util.concurrent.Callable
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.CountDownLatch
import java.util.concurrent.Executors
import java.util.concurrent.TimeUnit
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable

/** What a client got. */
internal class Got(val status: Int, val fields: Map<String, String>, val body: ByteArray, val sealed: SealedInfo?) {
    val text get() = body.decodeToString()
}

/** One of the clients that drive calls. */
internal interface TestClient : AutoCloseable {
    fun call(method: String, url: String, body: Body = Body.None, fields: Map<String, String> = emptyMap(), options: SealedCall? = null): Got

    /** Hands on pieces while they come. */
    fun stream(url: String, piece: (ByteArray) -> Unit)
}

internal sealed interface Body {
    data object None : Body

    class Whole(val bytes: ByteArray, val type: String = "text/plain") : Body

    /** Of unknown length. */
    class Pieces(val pieces: Sequence<ByteArray>) : Body
}

/** What both clients do; each has a class of its own below this. */
internal abstract class HttpTest {
    abstract fun client(
        policy: Policy,
        identity: Identity? = null,
        lastSeen: SecretStore? = null,
        observer: Observer? = null,
        maxBody: Long = 1 shl 20,
        redirects: Boolean = false,
    ): TestClient

    private val alice = Identity.generate(Kem.X25519)
    private val bob = Identity.generate(Kem.X25519)

    private fun policy(service: Service, vararg rules: Rule) =
        Policy(mapOf(service.origin to ServiceTrust.Pins(service.pin)), rules.toList())

    protected fun everything(service: Service, streamed: Boolean = false, idempotent: Boolean = false) =
        policy(service, Rule(service.origin, "/{rest..}", exchange = InPlace(), streamed = streamed, idempotent = idempotent))

    @Test
    fun `an exchange shows method, host and path`() = Service().use { service ->
        client(everything(service)).use { client ->
            val got = client.call("GET", "${service.origin}/notes/17?secret=query", fields = mapOf("authorization" to "Bearer secret-token"))
            assertEquals(200, got.status)
            assertEquals("GET ", got.text)
            assertEquals("/notes/17?secret=query", got.fields["x-path"])
            assertEquals("Bearer secret-token", got.fields["x-authorization"])
            assertEquals("text/plain", got.fields["content-type"])
            assertNotNull(got.sealed)
            val big = ByteArray(300_000) { (it % 251).toByte() }
            assertContentEquals("POST ".encodeToByteArray() + big, client.call("POST", "${service.origin}/notes", Body.Whole(big)).body)
            assertEquals("DELETE ", client.call("DELETE", "${service.origin}/notes/17").text)
            assertEquals("PUT not a secret-token", client.call("PUT", "${service.origin}/notes/17", Body.Whole("not a secret-token".encodeToByteArray())).text)
            for (seen in service.seen) for (secret in listOf("secret", "Bearer")) assertFalse(seen.holds(secret), "${seen.path} ${seen.fields}")
            assertEquals(1, service.seen.count { it.path.startsWith("/.well-known") })
            assertEquals("/notes/17", service.seen[1].path)
        }
    }

    @Test
    fun `a tunnel hides the path too`() = Service().use { service ->
        val rule = Rule(service.origin, "/{rest..}", exchange = Tunnel("${service.origin}/tunnel"))
        client(policy(service, rule)).use { client ->
            assertEquals("/notes/17", client.call("GET", "${service.origin}/notes/17").fields["x-path"])
            assertEquals("/tunnel", service.seen.last().path)
        }
    }

    @Test
    fun `a service that has forgotten its keys is asked for new ones, once`() = Service().use { service ->
        client(everything(service, idempotent = true)).use { client ->
            assertEquals("POST one", client.call("POST", "${service.origin}/notes", Body.Whole("one".encodeToByteArray())).text)
            // Of another KEM: a key's id is random at first, and one time in 256 it would be the old one's.
            service.gate = service.gate(Kem.XWing)
            assertEquals("POST two", client.call("POST", "${service.origin}/notes", Body.Whole("two".encodeToByteArray())).text)
            assertEquals(2, service.seen.count { it.path.startsWith("/.well-known") })
        }
    }

    @Test
    fun `signed requests name their signer`(): Unit = Service(verify = true, signers = listOf(alice.signer)).use { service ->
        val rule = Rule(service.origin, "/{rest..}", exchange = InPlace(), sign = true)
        client(policy(service, rule), identity = alice).use { client ->
            assertEquals(alice.signer.toString(), client.call("POST", "${service.origin}/notes", Body.Whole(ByteArray(9))).fields["x-signer"])
        }
        client(policy(service, rule), identity = bob).use { client ->
            assertCode("Unsealed") { client.call("GET", "${service.origin}/notes") }
        }
        client(policy(service, rule)).use { client -> assertCode("Misuse") { client.call("GET", "${service.origin}/notes") } }
    }

    @Test
    fun `sealed resources are stored, and read by whom they are sealed to`() {
        val stored = ConcurrentHashMap<String, ByteArray>()
        val app = { request: AppRequest ->
            when (request.method) {
                "PUT" -> AppReply(204, "").also { stored[request.path] = request.body }
                else -> {
                    val list = stored.entries.sortedBy { it.key }
                        .joinToString(",", "[", "]") { (path, envelope) -> """{"id":"${path.substringAfterLast('/')}","sealed":"${toText(envelope)}"}""" }
                    val envelope = stored[request.path]
                    if (envelope == null) AppReply(200, list, mapOf("content-type" to "application/json"))
                    else AppReply(200, mapOf("content-type" to "application/vnd.sealwire"), sequenceOf(envelope))
                }
            }
        }
        Service(app = app).use { service ->
            val resource = SealedResource("notes", "id", to = listOf(alice.recipient, bob.recipient), senders = listOf(alice.signer), list = null)
            val list = SealedResource("notes", "id", senders = listOf(alice.signer), list = SealedList("id", "sealed"))
            val rules = policy(service, Rule(service.origin, "/stored/{id}", seal = resource), Rule(service.origin, "/stored", seal = list))
            val events = CopyOnWriteArrayList<CallEvent>()
            client(rules, identity = alice, lastSeen = MemoryStore(), observer = events::add).use { client ->
                val note = Body.Whole("a note".encodeToByteArray())
                assertEquals(204, client.call("PUT", "${service.origin}/stored/17", note, options = SealedCall(version = 2u)).status)
                client.call("PUT", "${service.origin}/stored/18", note, options = SealedCall(to = listOf(alice.recipient)))
                assertEquals(listOf("ok", "ok"), events.map { it.code })
                assertEquals("envelope", events[0].protection)
            }
            assertFalse(service.seen.any { it.holds("a note") })
            val seen = MemoryStore()
            client(rules, identity = bob, lastSeen = seen).use { client ->
                val got = client.call("GET", "${service.origin}/stored/17")
                assertEquals("a note", got.text)
                assertEquals(alice.signer, got.sealed?.signer)
                assertEquals(2uL, got.sealed?.about?.version)
                assertEquals("text/plain", got.sealed?.about?.contentType)
                assertCode("NotRecipient") { client.call("GET", "${service.origin}/stored/18") }
                val items = client.call("GET", "${service.origin}/stored").sealed?.list!!
                assertEquals(listOf("17", "18"), items.map { it.id })
                assertEquals("a note", items[0].open().text)
                assertIs<SealwireException.NotRecipient>(items[1].error)
                assertNull(items[1].opened)
                // The service serves another's row, then an older version.
                stored["/stored/19"] = stored.getValue("/stored/17")
                assertCode("Rejected") { client.call("GET", "${service.origin}/stored/19") }
            }
            client(rules, identity = alice).use { it.call("PUT", "${service.origin}/stored/17", Body.Whole(ByteArray(1)), options = SealedCall(version = 1u)) }
            client(rules, identity = bob, lastSeen = seen).use { client -> assertCode("Rejected") { client.call("GET", "${service.origin}/stored/17") } }
            val others = SealedResource("notes", "id", senders = listOf(bob.signer))
            client(policy(service, Rule(service.origin, "/stored/{id}", seal = others)), identity = bob).use { client ->
                assertCode("Rejected") { client.call("GET", "${service.origin}/stored/17") }
            }
        }
    }

    @Test
    fun `what a server says to a write is left out, and its length with it`() = Service().use { service ->
        service.hijack = { it.reply(201, "taken".encodeToByteArray()) }
        val resource = SealedResource("notes", "id", to = listOf(alice.recipient), senders = listOf(alice.signer))
        client(policy(service, Rule(service.origin, "/stored/{id}", seal = resource)), identity = alice).use { client ->
            val got = client.call("PUT", "${service.origin}/stored/17", Body.Whole("a note".encodeToByteArray()))
            assertEquals(201 to 0, got.status to got.body.size)
            assertEquals(null, got.fields.entries.find { it.key.equals("content-length", ignoreCase = true) })
        }
    }

    @Test
    fun `streamed answers come while they are made`() {
        val goOn = CountDownLatch(1)
        val app = { _: AppRequest ->
            AppReply(200, emptyMap(), sequence {
                yield("first".encodeToByteArray())
                check(goOn.await(20, TimeUnit.SECONDS)) { "the first piece was held back" }
                yield("second".encodeToByteArray())
            })
        }
        Service(app = app).use { service ->
            client(everything(service, streamed = true)).use { client ->
                var all = ""
                client.stream("${service.origin}/assistant") { piece ->
                    all += piece.decodeToString()
                    if (all == "first") goOn.countDown()
                }
                assertEquals("firstsecond", all)
                service.tamper = { ByteArray(0) }
                assertCode("Truncated") { client.stream("${service.origin}/assistant") {} }
            }
        }
    }

    @Test
    fun `streamed bodies are sealed while they are sent`(): Unit = Service().use { service ->
        client(everything(service, streamed = true), maxBody = 10_000).use { client ->
            val pieces = generateSequence { ByteArray(5_000) { 'x'.code.toByte() } }.take(100)
            assertEquals(5 + 500_000, client.call("POST", "${service.origin}/upload", Body.Pieces(pieces)).body.size)
            // One of known length that is too long to be held takes the same way.
            assertEquals(5 + 20_000, client.call("POST", "${service.origin}/upload", Body.Whole(ByteArray(20_000))).body.size)
            assertFalse(service.seen.any { it.holds("xxxxxxxxxxxxxxxxxxxxxxxxxxxx") })
        }
        client(policy(service, Rule(service.origin, "/{rest..}", inTheClear = true))).use { client ->
            assertCode("Misuse") { client.call("POST", "${service.origin}/upload", Body.Pieces(sequenceOf(ByteArray(1)))) }
        }
    }

    @Test
    fun `what no rule covers is not sent, and neither is anything of a client that follows redirects`() = Service().use { service ->
        client(policy(service, Rule(service.origin, "/notes/{id}", exchange = InPlace()))).use { client ->
            assertCode("Misuse") { client.call("GET", "${service.origin}/other") }
            assertCode("Misuse") { client.call("GET", "http://localhost:1/notes/17") }
        }
        client(everything(service), redirects = true).use { client -> assertCode("Misuse") { client.call("GET", "${service.origin}/notes/17") } }
        assertEquals(0, service.seen.size)
    }

    @Test
    fun `hostile answers are errors`() = Service().use { service ->
        client(everything(service), maxBody = 100_000).use { client ->
            fun get() = client.call("GET", "${service.origin}/notes/17")
            var recorded = ByteArray(0)
            service.tamper = { it.also { recorded = it } }
            assertEquals("GET ", get().text)
            val earlier = recorded
            for ((expected, tamper) in listOf<Pair<Set<String>, (ByteArray) -> ByteArray>>(
                setOf("Truncated", "Rejected") to { it.copyOf(it.size / 2) },
                setOf("Truncated", "Rejected") to { it.copyOf(it.size - 1) },
                setOf("Truncated", "Rejected", "Unsealed", "Malformed") to { ByteArray(0) },
                setOf("Rejected") to { it.clone().also { it[it.size - 1] = (it[it.size - 1].toInt() xor 1).toByte() } },
                setOf("Rejected") to { it.clone().also { it[0] = (it[0].toInt() xor 1).toByte() } },
                setOf("Rejected") to { it.reversedArray() },
                setOf("Rejected", "Malformed") to { it + it },
                setOf("Rejected") to { earlier },
                setOf("TooLarge", "Rejected") to { ByteArray(500_000) },
            )) {
                service.tamper = tamper
                val code = assertIs<SealwireException>(runCatching { get() }.exceptionOrNull()).code
                assertTrue(code in expected, "$code, not $expected")
            }
            service.tamper = { it }
            for (status in listOf(200, 401, 502)) {
                service.hijack = { it.reply(status, "hello".encodeToByteArray(), "content-type" to "text/html") }
                assertEquals(status, assertIs<SealwireException.Unsealed>(runCatching { get() }.exceptionOrNull()).status)
            }
            Service().use { elsewhere ->
                service.hijack = { it.reply(307, ByteArray(0), "location" to "${elsewhere.origin}/notes/17") }
                assertCode("Unsealed") { get() }
                assertEquals(0, elsewhere.seen.size)
            }
            service.hijack = { false }
            assertEquals("GET ", get().text)
        }
    }

    @Test
    fun `an answer without an end is judged by its front, and held by nobody`() {
        class Endless(val ofKeys: Boolean, val status: Int, vararg val fields: Pair<String, String>)
        for (kind in listOf(Endless(true, 200), Endless(false, 200), Endless(false, 400, "content-type" to "application/problem+json"))) Service().use { service ->
            val answered = CountDownLatch(1)
            val released = CountDownLatch(1)
            service.hijack = { exchange ->
                val endless = exchange.requestURI.path.startsWith("/.well-known") == kind.ofKeys
                if (endless) {
                    kind.fields.forEach { (name, value) -> exchange.responseHeaders.add(name, value) }
                    exchange.sendResponseHeaders(kind.status, 0)
                    // Longer than any front that counts. Whoever waits for more ends in a time limit, as `Network`.
                    runCatching { exchange.responseBody.run { write(ByteArray(1 shl 20)); flush() } }
                    answered.await()
                    runCatching { while (true) exchange.responseBody.run { write(ByteArray(PIECE)); flush() } }
                    released.countDown()
                }
                endless
            }
            client(everything(service)).use { client ->
                fun call() = assertCode("Unsealed") { client.call("GET", "${service.origin}/x") }
                try {
                    call()
                } finally {
                    answered.countDown()
                }
                // The selector of Ktor's CIO closes what was given up when it has something to do again: at the next call.
                val held = (1..20).none { released.await(1, TimeUnit.SECONDS) || call().run { false } }
                assertFalse(held, "the connection is still held")
            }
        }
    }

    @Test
    fun `keys that are nobody's are not believed`(): Unit = Service().use { service ->
        Service().use { other ->
            val wrong = Policy(mapOf(service.origin to ServiceTrust.Pins(other.pin)), listOf(Rule(service.origin, "/{rest..}", exchange = InPlace())))
            client(wrong).use { client -> assertTrue(assertIs<SealwireException>(runCatching { client.call("GET", "${service.origin}/x") }.exceptionOrNull()).code in setOf("InvalidKey", "Rejected")) }
            assertEquals(listOf("/.well-known/sealwire-keys"), service.seen.map { it.path })
        }
        assertCode("InvalidKey") { client(Policy(service.origin, "sealwire-pin1x")) }
    }

    @Test
    fun `a network that fails is Network`() {
        ServerSocket(0, 5, InetAddress.getLoopbackAddress()).use { socket ->
            val origin = "http://127.0.0.1:${socket.localPort}"
            val cutting = Thread { runCatching { while (true) socket.accept().use { it.getInputStream().read() } } }.apply { isDaemon = true; start() }
            val policy = Policy(origin, bob.recipient.pin.toString())
            val events = CopyOnWriteArrayList<String>()
            client(policy, observer = { events.add(it.code) }).use { client ->
                val thrown = assertCode("Network") { client.call("GET", "$origin/x") }
                assertNotNull(thrown.cause)
                assertEquals(setOf("Network"), events.toSet())
            }
            socket.close()
            cutting.join()
        }
    }

    @Test
    fun `a request that is sent again is refused`() = Service().use { service ->
        client(everything(service)).use { it.call("POST", "${service.origin}/pay", Body.Whole(ByteArray(3))) }
        val sent = service.seen.last()
        val again = java.net.http.HttpRequest.newBuilder(java.net.URI("${service.origin}${sent.path}")).POST(java.net.http.HttpRequest.BodyPublishers.ofByteArray(sent.body))
        sent.fields.filterKeys { it.lowercase() !in setOf("host", "content-length", "connection", "transfer-encoding") }
            .forEach { (name, values) -> values.forEach { again.header(name, it) } }
        val answer = java.net.http.HttpClient.newHttpClient().send(again.build(), java.net.http.HttpResponse.BodyHandlers.ofString())
        assertTrue(answer.statusCode() in 400..499, "${answer.statusCode()}")
    }

    @Test
    fun `sixteen threads call at once`() = Service().use { service ->
        client(everything(service)).use { client ->
            val pool = Executors.newFixedThreadPool(16)
            val done = pool.invokeAll(List(16) { thread ->
                Callable {
                    repeat(5) { round -> assertEquals("POST $thread-$round", client.call("POST", "${service.origin}/x", Body.Whole("$thread-$round".encodeToByteArray())).text) }
                }
            })
            done.forEach { it.get() }
            pool.shutdown()
        }
    }

    @Test
    @EnabledIfEnvironmentVariable(named = "SEALWIRE_PEER", matches = ".+")
    fun `against the Rust layer`() {
        val program = System.getenv("SEALWIRE_PEER")
        val peer = ProcessBuilder(program, "serve").redirectError(ProcessBuilder.Redirect.INHERIT).start()
        try {
            val said = com.google.gson.JsonParser.parseString(peer.inputReader().readLine()).asJsonObject
            against(said["origin"].asString, said["pin"].asString)
        } finally {
            peer.destroy()
        }
    }

    @Test
    @EnabledIfEnvironmentVariable(named = "SEALWIRE_SERVICE_URL", matches = ".+")
    fun `against a service elsewhere`() {
        against(System.getenv("SEALWIRE_SERVICE_URL"), System.getenv("SEALWIRE_SERVICE_PIN"))
    }

    /** A service whose app says what came, the body last. */
    private fun against(origin: String, pin: String) {
        client(Policy(origin, pin), identity = alice).use { client ->
            val body = ByteArray(100_000) { (32 + it % 90).toByte() }
            val got = client.call("POST", "$origin/echo?q=1", Body.Whole(body, "application/octet-stream"))
            assertEquals(200, got.status)
            assertTrue(got.text.endsWith(body.decodeToString()))
            assertNotNull(got.sealed)
        }
        val streamed = Policy(mapOf(origin to ServiceTrust.Pins(pin)), listOf(Rule(origin, "/{rest..}", exchange = InPlace(), streamed = true)))
        client(streamed).use { client ->
            val pieces = generateSequence { ByteArray(20_000) { 'x'.code.toByte() } }.take(10)
            assertTrue(client.call("POST", "$origin/echo", Body.Pieces(pieces)).text.endsWith("x".repeat(200_000)))
        }
        client(Policy(origin, alice.recipient.pin.toString())).use { client ->
            assertIs<SealwireException>(runCatching { client.call("POST", "$origin/echo") }.exceptionOrNull())
        }
    }
}
