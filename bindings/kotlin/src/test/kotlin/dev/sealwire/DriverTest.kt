package dev.sealwire

import dev.sealwire.ffi.CallBody
import dev.sealwire.ffi.Field
import java.io.IOException
import kotlin.coroutines.cancellation.CancellationException
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertSame
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking

/** What no client of ours does, but a client of others may. */
class DriverTest {
    private val clear = Policy(rules = listOf(Rule("https://a.example", "/{rest..}", inTheClear = true)))

    @Test
    fun `who gives up a body leaves it to nobody, and no cancellation either`() = runBlocking {
        pieces { awaitCancellation() }.use { pieces ->
            assertContentEquals(byteArrayOf(1), pieces.next())
            launch(start = CoroutineStart.UNDISPATCHED) { pieces.next() }.cancelAndJoin()
            repeat(2) { assertCode("Network") { blocking { pieces.next() } } }
        }
        for (own in listOf(InterruptedException(), CancellationException("of another"))) pieces { throw own }.use { pieces ->
            pieces.next()
            assertSame(own, runCatching { pieces.next() }.exceptionOrNull())
            assertCode("Network") { blocking { pieces.next() } }
        }
    }

    @Test
    fun `what has failed fails again`() = runBlocking {
        pieces { throw IOException("the disk is gone") }.use { pieces ->
            pieces.next()
            repeat(2) { assertFailsWith<IOException> { pieces.next() } }
        }
    }

    /** A body of one byte, then what [more] does. */
    private suspend fun pieces(more: suspend () -> Int): Driver.Pieces =
        Driver(clear, null, null, null, null, MAX_BODY).use { driver ->
            val request = Driver.Request("GET", "https://a.example/x", emptyList(), CallBody.None, null)
            driver.answer(request) { Arriving(more) }.pieces!!
        }

    private class Arriving(private val more: suspend () -> Int) : Incoming {
        override val status = 200
        override val fields = emptyList<Field>()
        override val redirected = false
        private var first = true

        override suspend fun read(into: ByteArray): Int {
            if (!first) return more()
            first = false
            into[0] = 1
            return 1
        }

        override fun close() {}
    }
}
