package dev.sealwire

import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertTrue

/** Memory stays flat: of what is sealed and opened, and of what nobody closes. */
class LifetimesTest {
    private val context = SealContext("notes", "17")

    @Test
    fun `100,000 times sealed and opened`() {
        val payload = ByteArray(1024)
        SymmetricKey.generate().use { key ->
            flat(100_000) { assertContentEquals(payload, open(seal(payload, key, context), key, context).plaintext) }
        }
    }

    @Test
    fun `streams that were broken off`() {
        val key = SymmetricKey.generate()
        val envelope = seal(ByteArray(100_000), key, context)
        flat(5_000) {
            SealOutputStream(ByteArrayOutputStream(), key, context).use { it.write(1) }
            OpenInputStream(ByteArrayInputStream(envelope), key, context).use { it.read() }
            runCatching { open(envelope.copyOf(50_000), key, context) }
        }
    }

    @Test
    fun `keys that nobody closes are collected`() {
        var round = 0
        flat(20_000) {
            Keyring(SymmetricKey.generate())
            if (++round % 1000 == 0) System.gc()
        }
    }

    /** A fifth of the rounds warms up; the others take less than 48 MiB more, and each of them would only have to lose 600 bytes for that. */
    private fun flat(rounds: Int, work: () -> Unit) {
        repeat(rounds / 5) { work() }
        System.gc()
        val before = kept()
        repeat(rounds / 5 * 4) { work() }
        System.gc()
        Thread.sleep(200)
        val more = kept() - before
        assertTrue(more < 48 shl 20, "$more bytes more")
    }

    /** In the heap, and outside of it: the heap itself never grows (pom.xml), however much of it other tests have used. */
    private fun kept() = resident() + Runtime.getRuntime().run { totalMemory() - freeMemory() }
}
