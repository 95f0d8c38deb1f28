package dev.sealwire

import dev.sealwire.ffi.Call
import dev.sealwire.ffi.CallBody
import dev.sealwire.ffi.CallRequest
import dev.sealwire.ffi.CallStep
import dev.sealwire.ffi.Caller
import dev.sealwire.ffi.CallerOptions
import dev.sealwire.ffi.Event
import dev.sealwire.ffi.Field
import dev.sealwire.ffi.Upload
import java.io.IOException
import kotlin.coroutines.Continuation
import kotlin.coroutines.EmptyCoroutineContext
import kotlin.coroutines.cancellation.CancellationException
import kotlin.coroutines.startCoroutine
import dev.sealwire.ffi.Observer as RawObserver

/** What both clients call with: a policy, and who calls. */
internal class Driver(
    policy: Policy,
    identity: Identity?,
    keys: Unlock?,
    lastSeen: SecretStore?,
    observer: Observer?,
    val maxBody: Long,
) : AutoCloseable {
    private val held: Held<Caller> = calling {
        val options = CallerOptions(
            identity = identity?.let { lend(it.held) },
            keys = keys?.let { keyring(it) },
            lastSeen = lastSeen?.let { lend(it) },
            observer = observer?.let(::Watched),
            maxBody = maxBody.toULong(),
        )
        Held(Caller(rawPolicy(policy), options))
    }

    /** Sends what the library says through [wire], and gives it what comes, until there is an answer. */
    suspend fun answer(request: Request, wire: Wire): Answer {
        val started = calling { lend(held).call(request.raw(), request.body, now()) }
        val call = Held(started.call)
        var passes = false
        try {
            var step = started.step
            while (step is CallStep.Send) {
                val outer = wire.send(step)
                try {
                    step = read(call, outer)
                    passes = step is CallStep.Pass
                } finally {
                    if (!passes) outer.close()
                }
                if (step is CallStep.Pass) return Answer(step.status.toInt(), step.fields, Pieces(call, outer, step.front))
            }
            return whole(call, step)
        } catch (broken: Throwable) {
            // What the library threw it has ended itself.
            call.take().broke()
            call.giveBack()
            throw broken
        } finally {
            if (!passes) call.close()
        }
    }

    override fun close() = held.close()

    private suspend fun read(call: Held<Call>, outer: Incoming): CallStep {
        var step = calling { lend(call).answered(outer.status.toUShort(), outer.fields, outer.redirected) }
        val piece = ByteArray(PIECE)
        while (step is CallStep.Read) {
            // Of keys that are refused already nothing more counts, and they may have no end.
            val count = if (calling { lend(call).wantsMore() }) outer.read(piece) else -1
            step = calling { if (count < 0) lend(call).finish(now()) else lend(call).read(lend(piece, 0, count)) }
        }
        return step
    }

    private fun whole(call: Held<Call>, step: CallStep): Answer =
        when (step) {
            is CallStep.Done -> {
                val info = SealedInfo(step.signer?.let(::Signer), step.about?.let(::aboutOf), null)
                Answer(step.status.toInt(), step.fields, step.body, info)
            }
            is CallStep.Items -> {
                val items = generateSequence { calling { lend(call).item() } }.map { item ->
                    val failure = item.failure
                    val opened = item.opened
                    val result = when {
                        opened != null -> Result.success(openedOf(opened))
                        failure?.code == "Store" -> throw SealwireException.Store(failure.text)
                        else -> Result.failure(exceptionOf(failure?.code.orEmpty(), failure?.text.orEmpty()))
                    }
                    SealedItem(item.id, result)
                }
                Answer(step.status.toInt(), step.fields, ByteArray(0), SealedInfo(null, null, items.toList()))
            }
            else -> throw SealwireException.Internal()
        }

    /** A request as the app made it. */
    class Request(
        private val method: String,
        private val url: String,
        private val fields: List<Field>,
        val body: CallBody,
        private val options: SealedCall?,
    ) {
        fun raw() = CallRequest(method, url, fields, options?.to?.map { it.raw }, options?.version, options?.context?.raw)
    }

    /** An answer: a whole one, or one whose body comes in pieces. */
    class Answer private constructor(
        val status: Int,
        val fields: List<Field>,
        val body: ByteArray,
        val pieces: Pieces?,
        val info: SealedInfo,
    ) {
        constructor(status: Int, fields: List<Field>, body: ByteArray, info: SealedInfo) : this(status, fields, body, null, info)

        constructor(status: Int, fields: List<Field>, pieces: Pieces) :
            this(status, fields, ByteArray(0), pieces, SealedInfo(null, null, null))
    }

    /** A body that comes while it is read, each piece authenticated before the end was seen. */
    class Pieces(private val call: Held<Call>, private val outer: Incoming, private var front: ByteArray?) : AutoCloseable {
        private val piece = ByteArray(PIECE)
        private var over = false
        private var failure: IOException? = null

        /** The next piece, which is not empty; nothing at the end, which is certain then. */
        suspend fun next(): ByteArray? {
            // Whoever tries again, or comes after somebody that dropped the failure, must not take what was cut off for whole.
            failure?.let { throw it }
            try {
                return following()
            } catch (broken: Throwable) {
                // What was read on the way is lost. Whose cancellation it was, it is no later reader's.
                failure = broken as? IOException ?: SealwireException.Network("network failed: a body whose reader gave up")
                throw broken
            }
        }

        override fun close() {
            front = null
            call.close()
            outer.close()
        }

        private suspend fun following(): ByteArray? {
            front?.takeIf { it.isNotEmpty() }?.let { first ->
                front = null
                return first
            }
            while (!over) {
                val count = outer.read(piece)
                over = count < 0
                val content = calling { if (over) lend(call).passEnd() else lend(call).pass(lend(piece, 0, count)) }
                if (content.isNotEmpty()) return content
            }
            return null
        }
    }
}

/** What sends, in a client's own way. What it throws is that client's own, or `Network`. */
internal fun interface Wire {
    /** Sends what is there, follows no redirect, and caches nothing. */
    suspend fun send(sending: CallStep.Send): Incoming
}

/** The outer answer. */
internal interface Incoming : AutoCloseable {
    val status: Int
    val fields: List<Field>
    val redirected: Boolean

    /** The next bytes of the body, or -1. */
    suspend fun read(into: ByteArray): Int
}

/** Seals a body while it is sent. */
internal class Uploading(upload: Upload) : AutoCloseable {
    private val held = Held(upload)

    fun push(piece: ByteArray, count: Int): ByteArray = calling { lend(held).push(lend(piece, 0, count)) }

    /** Without it, which is not sent if the app's own stream fails, the service says `Truncated`. */
    fun finish(): ByteArray = calling { lend(held).finish() }

    override fun close() = held.close()
}

/** Runs what never suspends: the driver over a client that blocks. */
internal fun <R> blocking(work: suspend () -> R): R {
    var result: Result<R>? = null
    work.startCoroutine(Continuation(EmptyCoroutineContext) { result = it })
    return (result ?: throw SealwireException.Internal()).getOrThrow()
}

/** What a client's network throws, with a code. Cancellation stays what it is. */
internal inline fun <R> network(what: String, work: () -> R): R =
    try {
        work()
    } catch (own: SealwireException) {
        throw own
    } catch (cancelled: CancellationException) {
        throw cancelled
    } catch (cause: IOException) {
        throw SealwireException.Network("network failed: $what", cause)
    }

internal fun fieldOf(name: String, value: String): Field = Field(name, value.encodeToByteArray())

/** A field's value as text. Bytes that are no UTF-8 have no place in it. */
internal fun Field.text(): String = value.decodeToString()

/** What both clients hold as a whole, unless they are told otherwise. */
internal const val MAX_BODY: Long = 64L * 1024 * 1024
internal const val PIECE: Int = 64 * 1024

private fun now(): ULong = (System.currentTimeMillis() / 1000).toULong()

private class Watched(private val app: Observer) : RawObserver {
    override fun event(event: Event) = answering {
        app.event(CallEvent(event.operation, event.code, event.protection, event.size, event.micros))
    }
}
