package dev.sealwire

import com.sun.jna.Memory
import dev.sealwire.ffi.Disposable
import dev.sealwire.ffi.Failure
import dev.sealwire.ffi.InternalException
import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException
import java.util.concurrent.atomic.AtomicBoolean
import java.util.concurrent.atomic.AtomicInteger

/** Calls into the library: whatever fails there is a [SealwireException] here, and what was lent for the call is given back after it. */
internal inline fun <R> calling(block: Loan.() -> R): R {
    val loan = Loan()
    try {
        return loan.block()
    } catch (failure: Failure) {
        throw failure.toException()
    } catch (_: InternalException) {
        throw SealwireException.Internal()
    } catch (_: CharacterCodingException) {
        throw noUtf8()
    } finally {
        loan.close()
    }
}

internal fun noUtf8(): SealwireException = SealwireException.Misuse("misuse: text with half a surrogate pair")

/**
 * An object of the library that several threads may use, and one of them close: it lives until the last of them has done with it. The
 * generated classes guard only the object whose method is called, not those that are given to it.
 */
internal class Held<out T : Disposable>(private val raw: T) : AutoCloseable {
    private val users = AtomicInteger(1)
    private val closed = AtomicBoolean()

    fun take(): T {
        while (!closed.get()) {
            val now = users.get()
            if (now == 0) break
            if (users.compareAndSet(now, now + 1)) return raw
        }
        throw SealwireException.Misuse("misuse: it was closed before")
    }

    fun giveBack() {
        if (users.decrementAndGet() == 0) raw.destroy()
    }

    override fun close() {
        if (closed.compareAndSet(false, true)) giveBack()
    }
}

/** What is lent to the library for the time of one call. */
internal class Loan : AutoCloseable {
    private val ends = ArrayList<() -> Unit>(4)

    fun <T : Disposable> lend(held: Held<T>): T = held.take().also { ends.add(held::giveBack) }

    /** What exists for this call only. */
    fun <T : Disposable> own(raw: T): T = raw.also { ends.add(it::destroy) }

    /** Native memory that holds these bytes, wiped at the end: the library reads the JVM's own nowhere. */
    fun lend(bytes: ByteArray, from: Int = 0, length: Int = bytes.size - from): ByteBuffer {
        if (length == 0) return EMPTY
        val memory = Memory(length.toLong())
        ends.add {
            memory.clear()
            memory.close()
        }
        memory.write(0, bytes, from, length)
        return memory.getByteBuffer(0, length.toLong())
    }

    override fun close() = ends.asReversed().forEach { it() }
}

private val EMPTY: ByteBuffer = ByteBuffer.allocateDirect(0)

/** Runs an app's own code for the library: what it throws is told by its code, and nothing else of it. */
internal inline fun <R> answering(block: () -> R): R =
    try {
        block()
    } catch (told: SealwireException) {
        throw told.toFailure()
    } catch (_: Throwable) {
        // Errors too: the library would take one for an answer.
        throw Failure.Store("storage failed: a callback")
    }

internal fun Failure.toException(): SealwireException =
    when (this) {
        is Failure.Malformed -> SealwireException.Malformed(text)
        is Failure.Unsupported -> SealwireException.Unsupported(text)
        is Failure.InvalidKey -> SealwireException.InvalidKey(text)
        is Failure.NotRecipient -> SealwireException.NotRecipient(text)
        is Failure.Rejected -> SealwireException.Rejected(text)
        is Failure.Truncated -> SealwireException.Truncated(text)
        is Failure.TooLarge -> SealwireException.TooLarge(text)
        is Failure.Misuse -> SealwireException.Misuse(text)
        is Failure.Replayed -> SealwireException.Replayed(text)
        is Failure.Expired -> SealwireException.Expired(text)
        is Failure.Network -> SealwireException.Network(text)
        is Failure.Store -> SealwireException.Store(text)
        is Failure.Unsealed -> SealwireException.Unsealed(status.toInt(), text)
    }

private fun SealwireException.toFailure(): Failure =
    when (this) {
        is SealwireException.Malformed -> Failure.Malformed("")
        is SealwireException.Unsupported -> Failure.Unsupported("")
        is SealwireException.InvalidKey -> Failure.InvalidKey("")
        is SealwireException.NotRecipient -> Failure.NotRecipient("")
        is SealwireException.Rejected -> Failure.Rejected("")
        is SealwireException.Truncated -> Failure.Truncated("")
        is SealwireException.TooLarge -> Failure.TooLarge("")
        is SealwireException.Misuse -> Failure.Misuse("")
        is SealwireException.Replayed -> Failure.Replayed("")
        is SealwireException.Expired -> Failure.Expired("")
        is SealwireException.Network -> Failure.Network("")
        is SealwireException.Unsealed -> Failure.Unsealed("", status.toUShort())
        is SealwireException.Store, is SealwireException.Internal -> Failure.Store("")
    }

/** The code of an item that did not open, as an exception. */
internal fun exceptionOf(code: String, text: String): SealwireException =
    when (code) {
        "Malformed" -> SealwireException.Malformed(text)
        "InvalidKey" -> SealwireException.InvalidKey(text)
        "NotRecipient" -> SealwireException.NotRecipient(text)
        "Rejected" -> SealwireException.Rejected(text)
        "Truncated" -> SealwireException.Truncated(text)
        "TooLarge" -> SealwireException.TooLarge(text)
        "Misuse" -> SealwireException.Misuse(text)
        "Replayed" -> SealwireException.Replayed(text)
        "Expired" -> SealwireException.Expired(text)
        "Network" -> SealwireException.Network(text)
        "Store" -> SealwireException.Store(text)
        else -> SealwireException.Unsupported(text)
    }
