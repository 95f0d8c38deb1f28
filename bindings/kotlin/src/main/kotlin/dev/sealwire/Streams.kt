package dev.sealwire

import java.io.FilterOutputStream
import java.io.InputStream
import java.io.OutputStream
import dev.sealwire.ffi.OpenStream as RawOpenStream
import dev.sealwire.ffi.SealStream as RawSealStream

/**
 * Seals what is written to it, and writes the envelope to [out], with at most 16 KiB held back. Source: SPEC §7.
 *
 * **[finish] completes the envelope, [close] does not**: a block that is left by an exception closes the stream too, and what was cut off must
 * not look whole. An envelope without its end is refused by every reader. Fails as [seal] does.
 *
 * ```kotlin
 * SealOutputStream(file.outputStream(), to = bob, context = context).use { sealed ->
 *     photo.copyTo(sealed)
 *     sealed.finish()
 * }
 * ```
 *
 * One thread at a time writes. The other parameters are those of [seal].
 *
 * @param length the payload's exact length, if it is known: the envelope is then padded, unless [padded] says otherwise, and more or fewer bytes
 *   are `Misuse`. Without it the envelope shows the payload's length.
 */
public class SealOutputStream(
    out: OutputStream,
    to: Readers,
    context: SealContext,
    length: Long? = null,
    sign: Identity? = null,
    metadata: Map<String, MetadataValue> = emptyMap(),
    created: ULong? = null,
    contentType: String? = null,
    filename: String? = null,
    aead: Aead? = null,
    padded: Boolean = true,
    part: String = "",
) : FilterOutputStream(out) {
    private val held = calling {
        // Without a length there is nothing to pad to.
        val sealer =
            sealer(to, context, sign, metadata, created, contentType, filename, aead, padded && length != null, part)
        Held(RawSealStream(sealer, length?.toULong()))
    }

    /** How many bytes the envelope will have, if the payload's length was given. */
    public val sealedLength: Long? = calling { lend(held).sealedLen()?.toLong() }

    /** Seals one byte: put a buffer before the stream if there are many such. */
    override fun write(byte: Int): Unit = write(byteArrayOf(byte.toByte()), 0, 1)

    /** Seals [len] bytes. */
    override fun write(bytes: ByteArray, off: Int, len: Int) {
        java.util.Objects.checkFromIndexSize(off, len, bytes.size)
        for (start in off until off + len step STEP) {
            out.write(calling { lend(held).push(lend(bytes, start, minOf(STEP, off + len - start))) })
        }
    }

    /** Writes the envelope's end. Nothing can be written after it. */
    public fun finish() {
        out.write(calling { lend(held).finish() })
        out.flush()
    }

    /** Closes [out]; without [finish] before, what was written is no envelope. */
    override fun close() {
        held.close()
        out.close()
    }
}

/**
 * Opens the envelope that [sealed] gives.
 *
 * Plaintext comes in authenticated chunks of 16 KiB, **before** the end was seen: it is provisional until [read] has said that it is over; then
 * [signer] says who signed all of it, and `expect` was checked against that. [read] fails as [open] does, as soon as that is certain; an envelope
 * that ends too early is `Truncated`, or `Rejected` if it ends inside a chunk. Where a part must not be acted on, use [open]. Source: SPEC §11.
 *
 * One thread at a time reads. Closing it closes [sealed].
 */
public class OpenInputStream(
    private val sealed: InputStream,
    keys: Unlock,
    context: SealContext,
    expect: Collection<Signer>? = null,
    part: String = "",
) : InputStream() {
    private val held = calling { Held(RawOpenStream(opener(keys, context, expect, part))) }
    private val piece = ByteArray(PIECE)
    private var ready = ByteArray(0)
    private var at = 0
    private var last: Opened? = null

    /** What the sealer said about the payload; `null` before the header was opened. */
    public val about: About?
        get() = last?.about ?: calling { lend(held).about()?.let(::aboutOf) }

    /** Who signed the payload: known, and certain, when it was read to its end. */
    public val signer: Signer? get() = last?.signer

    /** True when the payload was read to its end, and is complete. */
    public val isComplete: Boolean get() = last != null

    /** One byte, or -1 at the end. */
    override fun read(): Int = if (fill()) ready[at++].toInt() and 0xff else -1

    /** At most [len] bytes, or -1 at the end. */
    override fun read(bytes: ByteArray, off: Int, len: Int): Int {
        java.util.Objects.checkFromIndexSize(off, len, bytes.size)
        if (len == 0) return 0
        if (!fill()) return -1
        val taken = minOf(len, ready.size - at)
        ready.copyInto(bytes, off, at, at + taken)
        at += taken
        return taken
    }

    /** What can be read at once. */
    override fun available(): Int = ready.size - at

    /** Wipes what was not read, and closes the source. */
    override fun close() {
        ready.fill(0)
        at = ready.size
        held.close()
        sealed.close()
    }

    private fun fill(): Boolean {
        while (at == ready.size) {
            if (last != null) return false
            calling { lend(held) } // What was closed says so, whatever the source would say.
            val count = sealed.read(piece)
            ready =
                if (count >= 0) {
                    calling { lend(held).push(lend(piece, 0, count)) }
                } else {
                    calling { openedOf(lend(held).finish()) }.also { last = it }.plaintext
                }
            at = 0
        }
        return true
    }
}

/** How much goes into the library at a time. */
private const val STEP = 1 shl 20
