package dev.sealwire

import dev.sealwire.okio.OpenSource
import dev.sealwire.okio.SealSink
import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import java.io.IOException
import java.io.InputStream
import java.nio.ByteBuffer
import java.nio.channels.ClosedChannelException
import java.nio.file.Files
import java.util.concurrent.Callable
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.Executors
import java.util.concurrent.atomic.AtomicInteger
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.test.assertNotEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlinx.coroutines.runBlocking
import okio.Buffer
import okio.buffer

class SealTest {
    private val alice = Identity.generate(Kem.X25519)
    private val bob = Identity.generate()
    private val carol = Identity.generate()
    private val context = SealContext("notes", "17")
    private val note = "meet me at noon".encodeToByteArray()

    @Test
    fun `a text with half a surrogate pair is Misuse`() {
        val half = "\ud800"
        SymmetricKey.generate().use { key ->
            val context = SealContext("notes", "17")
            val envelope = seal(ByteArray(3), key, context)
            assertCode("Misuse") { seal(ByteArray(3), key, context, filename = half) }
            assertCode("Misuse") { seal(ByteArray(3), key, context, contentType = half) }
            assertCode("Misuse") { seal(ByteArray(3), key, context, part = half) }
            assertCode("Misuse") { seal(ByteArray(3), key, context, metadata = mapOf(half to MetadataValue.Text("a"))) }
            assertCode("Misuse") { seal(ByteArray(3), key, context, metadata = mapOf("a" to MetadataValue.Text(half))) }
            assertCode("Misuse") { seal(ByteArray(3), key, SealContext(half)) }
            assertCode("Misuse") { open(envelope, key, context, part = half) }
            assertCode("Misuse") { open(envelope, Keyring(key), context, part = half) }
        }
    }

    @Test
    fun `what was sealed opens, with everything that was said`() {
        val metadata = mapOf(
            "version" to MetadataValue.Number(7u),
            "kind" to MetadataValue.Text("note"),
            "raw" to MetadataValue.Bytes(byteArrayOf(0, -1)),
        )
        for (aead in Aead.entries) {
            val envelope = seal(
                note, bob.recipient + carol.recipient.anonymous(), context, sign = alice, metadata = metadata, created = ULong.MAX_VALUE,
                contentType = "text/plain", filename = "note.txt", aead = aead, padded = aead == Aead.Aes256Gcm, part = "body",
            )
            val header = inspect(envelope)
            assertEquals(aead, header.unverifiedAead)
            assertEquals(aead == Aead.Aes256Gcm, header.unverifiedPadded)
            assertEquals(32, header.unverifiedId.size)
            assertEquals(header.length, headerLength(envelope))
            assertEquals(metadata, header.unverifiedMetadata)
            assertEquals(4, assertIs<UnverifiedSlot.Lock.Hpke>(header.unverifiedSlots[0].lock).hint?.size)
            assertNull(assertIs<UnverifiedSlot.Lock.Hpke>(header.unverifiedSlots[1].lock).hint)

            val opened = open(envelope, bob, context, expect = listOf(alice.signer), part = "body")
            assertEquals("meet me at noon", opened.text)
            assertEquals(alice.signer, opened.signer)
            val about = opened.about
            assertEquals(metadata, about.metadata)
            assertEquals(7uL, about.version)
            assertEquals(ULong.MAX_VALUE, about.created)
            assertEquals("text/plain", about.contentType)
            assertEquals("note.txt", about.filename)
            assertEquals(true, about.addressedToMe)
            assertContentEquals(note, open(fromText(toText(envelope)), carol, context, part = "body").plaintext)
            assertCode("Rejected") { open(envelope, bob, context) }
        }
    }

    @Test
    fun `failures have codes, and their texts hold nothing of the input`() {
        val envelope = seal(note, bob.recipient, context, sign = alice)
        assertCode("NotRecipient") { open(envelope, carol, context) }
        assertCode("Rejected") { open(envelope, bob, SealContext("notes", "18")) }
        assertCode("Rejected") { open(envelope, bob, context, expect = listOf(bob.signer)) }
        assertCode("Rejected") { open(envelope, bob, context, expect = emptyList()) }
        assertCode("Malformed") { open(ByteArray(100), bob, context) }
        assertCode("Truncated") { open(ByteArray(0), bob, context) }
        assertCode("Misuse") { seal(note, emptyList<Reader>().toReaders(), context) }
        assertCode("Misuse") { seal(note, bob.recipient + alice.recipient, context) }
        assertCode("Misuse") { seal(note, bob.recipient, SealContext("x".repeat(129))) }
        assertCode("TooLarge") { seal(note, List(1025) { bob.recipient }.toReaders(), context) }
        assertCode("InvalidKey") { Recipient.parse(bob.recipient.toString().replaceRange(100, 101, "!")) }
        assertCode("InvalidKey") { SymmetricKey.of(ByteArray(31)) }
        assertCode("InvalidKey") { bob.recipient.pin.check(alice.recipient) }
        assertCode("Malformed") { open(seal(byteArrayOf(-1), bob.recipient, context), bob, context).text }
        val thrown = assertCode("InvalidKey") { Identity.parse("secret words") }
        assertFalse("secret words" in thrown.toString())
        assertIs<IOException>(thrown)
    }

    @Test
    fun `envelopes that were cut, flipped, swapped, doubled or made larger do not open`() {
        val big = ByteArray(100_000) { it.toByte() }
        val envelope = seal(big, bob.recipient, context)
        for (length in listOf(0, 1, 8, 60, 500, envelope.size - 50_000, envelope.size - 1)) {
            assertTrue(code(envelope.copyOf(length)) in setOf("Truncated", "Rejected"), "$length")
        }
        for (at in 0 until envelope.size step 997) {
            val flipped = envelope.clone().also { it[at] = (it[at].toInt() xor 1).toByte() }
            assertNotEquals("ok", code(flipped), "$at")
        }
        val length = headerLength(envelope)!!
        val chunk = 16 * 1024 + 16
        val swapped = envelope.clone()
        val first = length + 56
        envelope.copyInto(swapped, first, first + chunk, first + 2 * chunk)
        envelope.copyInto(swapped, first + chunk, first, first + chunk)
        assertEquals("Rejected", code(swapped))
        assertEquals("Rejected", code(envelope + envelope))
        assertEquals("Rejected", code(envelope + 0))
        assertEquals("ok", code(envelope))
    }

    @Test
    fun `readers are of every kind`() {
        SymmetricKey.generate().use { key ->
            Passphrase("correct horse", memory = 8192u, passes = 1u, lanes = 1u).use { words ->
                val kms = Kms()
                val envelope = seal(note, bob.recipient + key + words + kms, context)
                for (keys in listOf(bob, key, words, kms, Keyring(alice, kms))) assertContentEquals(note, open(envelope, keys, context).plaintext)
                assertTrue(kms.calls.get() > 0)
                assertCode("NotRecipient") { open(envelope, Passphrase("wrong horse"), context) }
                assertContentEquals(key.reveal(), SymmetricKey.of(key.reveal()).reveal())
                assertEquals(8, key.id.size)
                val locks = inspect(envelope).unverifiedSlots.map { it.lock }
                assertEquals("kms", locks.filterIsInstance<UnverifiedSlot.Lock.External>().single().service)
                assertEquals(8192u, locks.filterIsInstance<UnverifiedSlot.Lock.Passphrase>().single().memory)
                assertContentEquals(key.id, locks.filterIsInstance<UnverifiedSlot.Lock.Symmetric>().single().keyId)
            }
        }
        val mixed = seal(note, (bob.recipient + alice.recipient).allowClassical(), context)
        assertContentEquals(note, open(mixed, alice, context).plaintext)
    }

    @Test
    fun `a slot that was unlocked elsewhere gives the content key`() {
        val kms = Kms()
        val envelope = seal(note, kms, context)
        val slot = inspect(envelope).unverifiedSlots.single()
        val key = kms.unwrapKey((slot.lock as UnverifiedSlot.Lock.External).ct, slot.binding)!!
        assertContentEquals(note, open(envelope, ContentKey(envelope, key), context).plaintext)
        assertCode("NotRecipient") { ContentKey(envelope, ByteArray(32)) }
    }

    @Test
    fun `what a callback throws keeps its code, or is Store`() {
        val broken = { thrown: Throwable ->
            object : SecretStore {
                override fun save(name: String, secret: ByteArray) = throw thrown

                override fun load(name: String) = throw thrown

                override fun delete(name: String) = throw thrown
            }
        }
        assertCode("Expired") { alice.save(broken(SealwireException.Expired()), "alice") }
        assertCode("Store") { alice.save(broken(IllegalArgumentException("what a secret")), "alice") }
        assertCode("Store") { Identity.load(broken(OutOfMemoryError("what a secret")), "alice") }
        val away = object : KeyService by Kms() {
            override fun wrapKey(contentKey: ByteArray, binding: ByteArray) = throw SealwireException.Network()
        }
        assertCode("Network") { seal(note, away, context) }
    }

    @Test
    fun `a content key is wiped when its service fails, too`() {
        var given: ByteArray? = null
        val away = object : KeyService by Kms() {
            override fun wrapKey(contentKey: ByteArray, binding: ByteArray): ByteArray {
                given = contentKey
                throw SealwireException.Network()
            }
        }
        assertCode("Network") { seal(note, away, context) }
        assertContentEquals(ByteArray(32), given)
    }

    @Test
    fun `rewrap changes readers, reseal revokes`() {
        val envelope = seal(note, bob.recipient, context, sign = alice, contentType = "text/plain")
        val wider = rewrap(envelope, bob, context, bob.recipient + carol.recipient)
        assertEquals(alice.signer, open(wider, carol, context).signer)
        val (header, body) = split(envelope)
        val newHeader = rewrapHeader(header, body.copyOf(56), bob, context, carol.recipient)
        assertContentEquals(note, openDetached(newHeader, body, carol, context).plaintext)
        assertCode("Rejected") { rewrap(envelope, bob, SealContext("notes", "18"), carol.recipient) }
        val anew = reseal(wider, bob, context, bob.recipient, sign = bob)
        assertCode("NotRecipient") { open(anew, carol, context) }
        assertEquals("text/plain", open(anew, bob, context, expect = listOf(bob.signer)).about.contentType)
        assertCode("Misuse") { reseal(wider, bob, context, bob.recipient) }
        val parts = sealParts(mapOf("name" to note, "mail" to ByteArray(3)), bob.recipient, context)
        assertContentEquals(note, openDetached(parts.header, parts.bodies.getValue("name"), bob, context, part = "name").plaintext)
        assertCode("Rejected") { openDetached(parts.header, parts.bodies.getValue("name"), bob, context, part = "mail") }
    }

    @Test
    fun `streams and channels give what was sealed`() {
        val payload = ByteArray(3_000_000) { (it * 31).toByte() }
        for (length in listOf(null, payload.size.toLong())) {
            val out = ByteArrayOutputStream()
            val sealedLength = SealOutputStream(out, bob.recipient, context, length, sign = alice).use { stream ->
                stream.write(payload[0].toInt())
                ByteArrayInputStream(payload, 1, payload.size - 1).copyTo(stream, 100_000)
                stream.finish()
                stream.sealedLength
            }
            val envelope = out.toByteArray()
            if (length != null) assertEquals(envelope.size.toLong(), sealedLength) else assertNull(sealedLength)
            assertContentEquals(payload, open(envelope, bob, context, expect = listOf(alice.signer)).plaintext)

            OpenInputStream(ByteArrayInputStream(envelope), bob, context).use { stream ->
                assertNull(stream.signer)
                assertEquals(payload[0].toInt() and 0xff, stream.read())
                assertEquals(true, stream.about?.addressedToMe)
                assertFalse(stream.isComplete)
                assertContentEquals(payload.copyOfRange(1, payload.size), stream.readBytes())
                assertEquals(alice.signer, stream.signer)
                assertEquals(-1, stream.read())
            }

            val file = Files.createTempFile("sealwire", ".sealed")
            Files.write(file, envelope)
            OpenChannel(Files.newByteChannel(file), bob, context).use { channel ->
                assertEquals(payload.size.toLong(), channel.size())
                val piece = ByteBuffer.allocate(50_000)
                assertEquals(50_000, channel.position(1_234_567).read(piece))
                assertContentEquals(payload.copyOfRange(1_234_567, 1_284_567), piece.array())
                assertEquals(-1, channel.position(payload.size.toLong()).read(ByteBuffer.allocate(1)))
                channel.close()
                assertFailsWith<ClosedChannelException> { channel.read(ByteBuffer.allocate(1)) }
            }
            Files.delete(file)
        }
    }

    @Test
    fun `a stream that was broken off looks like nothing whole`() {
        val out = ByteArrayOutputStream()
        val stream = SealOutputStream(out, bob.recipient, context)
        assertFailsWith<IOException> { stream.use { failing(40_000).copyTo(it) } }
        assertNotEquals("ok", code(out.toByteArray()))
        assertCode("Misuse") { stream.write(1) }
        assertCode("Misuse") { stream.finish() }

        val short = SealOutputStream(ByteArrayOutputStream(), bob.recipient, context, length = 10)
        short.write(ByteArray(9))
        assertCode("Misuse") { short.finish() }

        val reading = OpenInputStream(failing(40_000), bob, context)
        assertFailsWith<IOException> { reading.readBytes() }
        val envelope = seal(ByteArray(100_000), bob.recipient, context)
        val cut = OpenInputStream(ByteArrayInputStream(envelope.copyOf(headerLength(envelope)!! + 56 + 2 * (16 * 1024 + 16))), bob, context)
        assertCode("Truncated") { cut.readBytes() }
        assertFalse(cut.isComplete)
        val closed = OpenInputStream(ByteArrayInputStream(envelope), bob, context)
        closed.read()
        closed.close()
        assertCode("Misuse") { closed.read() }
    }

    @Test
    fun `whatever was closed says so`() {
        val envelope = seal(note, bob.recipient, context)
        val other = Identity.generate(Kem.X25519)
        val ring = Keyring(other)
        other.close()
        other.close()
        val uses = listOf<() -> Unit>(
            { other.reveal() },
            { seal(note, bob.recipient, context, sign = other) },
            { open(envelope, other, context) },
            { Keyring(other) },
            { other.save(MemoryStore(), "other") },
            { open(envelope, ring.also { it.close() }, context) },
            { Passphrase("words").also { it.close() }.let { seal(note, it, context) } },
            { SymmetricKey.generate().also { it.close() }.let { seal(note, it, context) } },
            { MemoryStore().also { it.close() }.load("x") },
            { alice.save(MemoryStore().also { it.close() }, "x") },
        )
        for (use in uses) assertCode("Misuse") { use() }
        assertTrue(other.recipient.toString().startsWith("sealwire1"))
    }

    @Test
    fun `secrets are not in what prints`() {
        val secret = alice.reveal().decodeToString()
        assertTrue(secret.startsWith("sealwire-identity1"))
        assertEquals("Identity(${alice.recipient.fingerprint})", alice.toString())
        val key = SymmetricKey.generate()
        for (printed in listOf("$alice", "$key", "${Passphrase("open sesame")}", "${Keyring(alice, key)}", "${SealContext("notes", "what")}")) {
            for (hidden in listOf(secret, key.reveal().hex(), "sesame", "what")) assertFalse(hidden in printed)
        }
    }

    @Test
    fun `identities are kept in stores`() {
        val folder = Files.createTempDirectory("sealwire").toFile()
        SymmetricKey.generate().use { key ->
            val outside = object : SecretStore {
                val kept = ConcurrentHashMap<String, ByteArray>()

                override fun save(name: String, secret: ByteArray) {
                    kept[name] = secret.copyOf()
                }

                override fun load(name: String) = kept[name]?.copyOf()

                override fun delete(name: String) {
                    kept.remove(name)
                }
            }
            for (store in listOf(FileStore(folder, key), MemoryStore(), outside)) {
                assertNull(Identity.load(store, "alice"))
                alice.save(store, "alice")
                assertEquals(alice.recipient, Identity.load(store, "alice")?.recipient)
                store.save("other", byteArrayOf(1, 2))
                assertContentEquals(byteArrayOf(1, 2), store.load("other"))
                assertCode("InvalidKey") { Identity.load(store, "other") }
                store.delete("other")
                assertNull(store.load("other"))
            }
            assertCode("Misuse") { FileStore(folder, key).load("../alice") }
            assertCode("NotRecipient") { FileStore(folder, SymmetricKey.generate()).load("alice") }
        }
        folder.deleteRecursively()
        assertEquals(2, Identity.parseFile("# ours\n${alice.reveal().decodeToString()}\n\n${bob.reveal().decodeToString()}\n").size)
    }

    @Test
    fun `recipients are compared by their keys`() {
        val again = Recipient.parse(bob.recipient.toString())
        assertEquals(bob.recipient, again)
        assertEquals(bob.recipient.hashCode(), again.hashCode())
        assertNotEquals(bob.recipient, carol.recipient)
        assertEquals(Kem.XWing, again.kem)
        assertEquals(bob.signer, Signer.parse(again.signer.toString()))
        assertTrue(again.signer.keyId.isNotEmpty())
        assertEquals(bob.recipient.pin, Pin.parse(again.pin.toString()))
        again.pin.check(bob.recipient)
        assertEquals(39, again.fingerprint.toString().length)
    }

    @Test
    fun `sixteen threads use the same keys`() {
        val pool = Executors.newFixedThreadPool(16)
        val ring = Keyring(alice, bob)
        val done = pool.invokeAll(List(16) { thread ->
            Callable {
                repeat(30) { round ->
                    val payload = ByteArray(1000 * (thread + 1)) { round.toByte() }
                    val envelope = seal(payload, bob.recipient, context, sign = alice)
                    assertContentEquals(payload, open(envelope, ring, context, expect = listOf(alice.signer)).plaintext)
                }
            }
        })
        done.forEach { it.get() }
        pool.shutdown()
    }

    @Test
    fun `a key that is closed while others use it ends nobody's call`() {
        val pool = Executors.newFixedThreadPool(16)
        repeat(20) {
            val key = SymmetricKey.generate()
            val envelope = seal(ByteArray(50_000), key, context)
            val codes = (1..16).map { number ->
                pool.submit(Callable {
                    if (number == 8) "ok".also { key.close() } else code { open(envelope, key, context) }
                })
            }.map { it.get() }.toSet()
            assertTrue(codes.all { it == "ok" || it == "Misuse" }, "$codes")
        }
        pool.shutdown()
    }

    @Test
    fun `work in the background is the same work`() = runBlocking {
        val envelope = sealInBackground(note, bob.recipient, context, sign = alice)
        val wider = rewrapInBackground(envelope, bob, context, bob.recipient + carol.recipient)
        assertEquals(alice.signer, openInBackground(wider, carol, context).signer)
        val anew = resealInBackground(wider, bob, context, bob.recipient, sign = bob, part = "", expect = listOf(alice.signer))
        assertEquals(bob.signer, openInBackground(anew, bob, context).signer)
        assertCode("NotRecipient") { open(anew, carol, context) }
        val parts = sealPartsInBackground(mapOf("name" to note), bob.recipient, context, sign = alice)
        val body = parts.bodies.getValue("name")
        val header = rewrapHeaderInBackground(parts.header, body.copyOf(56), bob, context, carol.recipient, part = "name")
        assertContentEquals(note, openDetachedInBackground(header, body, carol, context, listOf(alice.signer), "name").plaintext)
    }

    @Test
    fun `all that seals and opens is there for the background, with the same parameters`() {
        fun of(file: String) = Class.forName("dev.sealwire.$file").methods.filter { '$' !in it.name }
        val results = listOf(ByteArray::class.java, Opened::class.java, SealedParts::class.java)
        val seals = of("SealKt").filter { it.returnType in results && SealContext::class.java in it.parameterTypes }
        // The compiler puts a hash behind the name of a function with a `ULong`.
        val plain = seals.associate { "${it.name.substringBefore('-')}InBackground" to it.parameterTypes.toList() }
        assertEquals(7, plain.size)
        val background = of("BackgroundKt").filter { "InBackground" in it.name }
        assertEquals(plain, background.associate { it.name.substringBefore('-') to it.parameterTypes.toList().dropLast(1) })
    }

    @Test
    fun `with okio, too`() {
        val payload = ByteArray(300_000) { (it * 31).toByte() }
        val out = Buffer()
        val sealing = SealSink(out, bob.recipient, context, payload.size.toLong(), sign = alice, contentType = "image/png")
        sealing.buffer().use { sealed ->
            sealed.write(payload)
            sealed.flush()
            sealing.finish()
        }
        assertEquals(out.size, sealing.sealedLength)
        val envelope = out.snapshot().toByteArray()
        assertContentEquals(payload, open(envelope, bob, context, expect = listOf(alice.signer)).plaintext)

        val opening = OpenSource(out, bob, context, expect = listOf(alice.signer))
        val source = opening.buffer()
        assertEquals(payload[0], source.readByte())
        assertEquals("image/png", opening.about?.contentType)
        assertNull(opening.signer)
        assertContentEquals(payload.copyOfRange(1, payload.size), source.readByteArray())
        assertEquals(alice.signer, opening.signer)
        assertTrue(opening.isComplete)
        assertEquals(-1, opening.read(Buffer(), 1))

        assertCode("Rejected") { OpenSource(Buffer().write(envelope), bob, context, expect = listOf(bob.signer)).buffer().readByteArray() }
        val cut = headerLength(envelope)!! + 56 + 2 * (16 * 1024 + 16)
        assertCode("Truncated") { OpenSource(Buffer().write(envelope, 0, cut), bob, context).buffer().readByteArray() }
        val closed = OpenSource(Buffer().write(envelope), bob, context).apply { read(Buffer(), 1); close() }
        assertCode("Misuse") { closed.read(Buffer(), 1) }

        val unfinished = Buffer()
        val left = SealSink(unfinished, bob.recipient, context)
        left.use { it.write(Buffer().write(payload), 100_000) }
        assertNotEquals("ok", code(unfinished.readByteArray()))
        assertCode("Misuse") { left.write(Buffer().write(payload), 1) }
        // What was not flushed before the end is not lost silently.
        val late = SealSink(Buffer(), bob.recipient, context)
        val behind = late.buffer().apply { write(note) }
        late.finish()
        assertCode("Misuse") { behind.close() }
    }

    private fun code(envelope: ByteArray) = code { open(envelope, bob, context) }

    private fun code(work: () -> Unit) =
        try {
            work()
            "ok"
        } catch (error: SealwireException) {
            error.code
        }
}

/** Gives so many zeros, then breaks. */
private fun failing(count: Int) = object : InputStream() {
    private var left = count

    override fun read(): Int = if (left-- > 0) 0 else throw IOException("the disk is gone")
}

/** A KMS that "wraps" by XOR with a pad of its own: enough to see what is called. */
private class Kms : KeyService {
    val calls = AtomicInteger()
    override val service = "kms"

    override fun wrapKey(contentKey: ByteArray, binding: ByteArray): ByteArray =
        xor(contentKey, binding) + sha256(binding)

    override fun unwrapKey(wrapped: ByteArray, binding: ByteArray): ByteArray? {
        calls.incrementAndGet()
        val tag = wrapped.copyOfRange(32, wrapped.size)
        return if (tag.contentEquals(sha256(binding))) xor(wrapped.copyOf(32), binding) else null
    }

    private fun xor(key: ByteArray, binding: ByteArray): ByteArray {
        val pad = sha256("pad".encodeToByteArray() + binding)
        return ByteArray(32) { (key[it].toInt() xor pad[it].toInt()).toByte() }
    }
}
