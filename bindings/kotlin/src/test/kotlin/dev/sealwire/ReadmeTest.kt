package dev.sealwire

import dev.sealwire.ktor.Sealwire
import dev.sealwire.okhttp.sealwire
import io.ktor.client.HttpClient
import io.ktor.client.engine.cio.CIO
import io.ktor.client.request.get
import io.ktor.client.statement.bodyAsText
import java.io.ByteArrayOutputStream
import java.io.File
import java.io.PrintStream
import java.nio.file.Files
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertTrue
import kotlinx.coroutines.runBlocking
import okhttp3.OkHttpClient
import okhttp3.Request

/** What the README shows runs here, line for line. */
class ReadmeTest {
    @Test
    fun `first sealed bytes`() {
        val bob = Identity.generate() // stays on Bob's device
        val toBob = Recipient.parse(bob.recipient.toString()) // what Bob pastes to Alice

        val context = SealContext("notes", "17") // what it is for; never sent
        val envelope = seal("meet me at noon".encodeToByteArray(), to = toBob, context = context) // what the server stores

        val opened = open(envelope, bob, context)
        println(opened.text)
        assertEquals("meet me at noon", opened.text)
    }

    @Test
    fun `files and stores`() {
        val folder = Files.createTempDirectory("sealwire").toFile()
        val (file, copy) = File(folder, "photo") to File(folder, "photo.sealed")
        file.writeBytes(ByteArray(100_000))
        val context = SealContext("photos", "4")
        val passphrase = Passphrase("correct horse", 8192u, 1u, 1u)

        val store = FileStore(folder, passphrase)
        val alice = Identity.load(store, "alice") ?: Identity.generate().also { it.save(store, "alice") }

        SealOutputStream(copy.outputStream(), to = alice.recipient, context = context, length = file.length()).use { sealed ->
            file.inputStream().use { it.copyTo(sealed) }
            sealed.finish() // without this it is no envelope: an exception leaves none behind
        }
        assertEquals(100_000, open(copy.readBytes(), alice, context).plaintext.size)
        folder.deleteRecursively()
    }

    @Test
    fun `a Ktor client`(): Unit = Service().use { service ->
        val (origin, pin) = service.origin to service.pin
        val client = HttpClient(CIO) {
            followRedirects = false
            install(Sealwire) { policy = Policy(origin, pin) }
        }
        assertEquals("GET ", runBlocking { client.get("$origin/notes/17").bodyAsText() })
        client.close()
    }

    @Test
    fun `a policy of rules`(): Unit = Service().use { service ->
        val (origin, pin) = service.origin to service.pin
        val policy = Policy(
            services = mapOf(origin to ServiceTrust.Pins(pin)),
            rules = listOf(
                Rule(origin, "/events", exchange = InPlace(), streamed = true),
                Rule(origin, "/{rest..}", exchange = InPlace()),
            ),
        )
        val http = OkHttpClient.Builder().sealwire(policy).build()
        for (path in listOf("events", "notes/17")) {
            http.newCall(Request.Builder().url("$origin/$path").build()).execute().use { assertEquals("GET ", it.body.string()) }
        }
    }

    @Test
    fun `the README shows nothing else`() {
        val here = repository.resolve("bindings/kotlin/src/test/kotlin/dev/sealwire/ReadmeTest.kt").readLines().map { it.trim() }
        val readme = repository.resolve("bindings/kotlin/README.md").readText()
        val blocks = Regex("(?s)```kotlin\n(.*?)```").findAll(readme).map { it.groupValues[1] }.toList()
        assertTrue(blocks.size >= 3)
        for (line in blocks.flatMap { it.lines() }.map { it.trim() }.filter { it.isNotEmpty() && !it.startsWith("import ") }) {
            assertTrue(line in here, line)
        }
    }

    /** What they say to each other `examples/kotlin/run` shows, within tests/run. */
    @Test
    fun `neither side of the example changed more than five lines`() {
        val examples = repository.resolve("examples")
        val sides = listOf("kotlin/Notes.kt" to "kotlin/NotesSealed.kt", "python/service.py" to "python/service_sealed.py")
        val readme = examples.resolve("kotlin/README.md").readText()
        for ((plain, sealed) in sides) {
            val diff = diff(examples.resolve(plain), examples.resolve(sealed))
            val added = diff.count { it.startsWith("> ") && it.length > 2 }
            assertTrue(added in 1..5, diff.joinToString("\n"))
            assertTrue(diff.count { it.startsWith("< ") } <= added, diff.joinToString("\n"))
            assertTrue("$ diff $plain $sealed\n${diff.joinToString("\n")}\n" in readme, "the README does not show:\n${diff.joinToString("\n")}")
        }
    }

    private fun diff(one: File, other: File): List<String> =
        ProcessBuilder("diff", one.path, other.path).start().inputStream.bufferedReader().readLines()

    @Test
    fun `the example's client is sealed, and shows nothing of the note outside`() {
        var note = ByteArray(0)
        val app = { request: AppRequest -> AppReply(200, emptyMap(), sequenceOf(if (request.method == "GET") note else request.body.also { note = it })) }
        Service(app = app).use { service ->
            val out = System.out
            val said = ByteArrayOutputStream()
            System.setOut(PrintStream(said))
            try {
                val main = Class.forName("notes.NotesSealedKt").getMethod("main", Array<String>::class.java)
                main.invoke(null, arrayOf(service.origin, "meet me at noon", service.pin))
            } finally {
                System.setOut(out)
            }
            assertEquals("meet me at noon", said.toString().trim())
            assertEquals("meet me at noon", note.decodeToString())
            assertFalse(service.seen.any { it.holds("noon") })
        }
    }
}
