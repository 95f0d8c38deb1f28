package dev.sealwire.okio

import dev.sealwire.About
import dev.sealwire.Aead
import dev.sealwire.Identity
import dev.sealwire.MetadataValue
import dev.sealwire.OpenInputStream
import dev.sealwire.PIECE
import dev.sealwire.Readers
import dev.sealwire.SealContext
import dev.sealwire.SealOutputStream
import dev.sealwire.Signer
import dev.sealwire.Unlock
import okio.Buffer
import okio.Sink
import okio.Source
import okio.Timeout
import okio.buffer

/**
 * A [SealOutputStream] for okio: seals what is written to it, and writes the envelope to [sink].
 *
 * **[finish] completes the envelope, [close] does not**: flush what stands before it, then call it. Fails as [dev.sealwire.seal] does; the
 * parameters are those of [SealOutputStream]. One thread at a time writes.
 *
 * ```kotlin
 * val sealing = SealSink(FileSystem.SYSTEM.sink(path), to = bob, context = context)
 * sealing.buffer().use { sealed ->
 *     sealed.writeAll(photo)
 *     sealed.flush()
 *     sealing.finish()
 * }
 * ```
 */
public class SealSink(
    sink: Sink,
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
) : Sink {
    private val out = sink.buffer()
    private val sealing =
        SealOutputStream(out.outputStream(), to, context, length, sign, metadata, created, contentType, filename, aead, padded, part)
    private val piece = ByteArray(PIECE)

    /** How many bytes the envelope will have, if the payload's length was given. */
    public val sealedLength: Long? get() = sealing.sealedLength

    /** Seals [byteCount] bytes of [source]. */
    override fun write(source: Buffer, byteCount: Long) {
        require(byteCount in 0..source.size) { "a count of bytes that are there" }
        var left = byteCount
        try {
            while (left > 0) {
                val count = source.read(piece, 0, minOf(left, PIECE.toLong()).toInt())
                sealing.write(piece, 0, count)
                left -= count
            }
        } finally {
            piece.fill(0)
        }
    }

    /** Hands on what was sealed; at most 16 KiB are held back until there is more. */
    override fun flush(): Unit = out.flush()

    /** Writes the envelope's end. Nothing can be written after it. */
    public fun finish(): Unit = sealing.finish()

    /** That of the sink. */
    override fun timeout(): Timeout = out.timeout()

    /** Closes the sink; without [finish] before, what was written is no envelope. */
    override fun close(): Unit = sealing.close()
}

/**
 * An [OpenInputStream] for okio: opens the envelope that [source] gives.
 *
 * What comes is **provisional until [read] has said that it is over**, as with [OpenInputStream]; then [signer] says who signed all of it. Where
 * a part must not be acted on, use [dev.sealwire.open]. One thread at a time reads. Closing it closes [source].
 *
 * ```kotlin
 * OpenSource(FileSystem.SYSTEM.source(path), bob, context).buffer().use { photo -> show(photo.readByteString()) }
 * ```
 */
public class OpenSource(
    source: Source,
    keys: Unlock,
    context: SealContext,
    expect: Collection<Signer>? = null,
    part: String = "",
) : Source {
    private val sealed = source.buffer()
    private val opening = OpenInputStream(sealed.inputStream(), keys, context, expect, part)
    private val piece = ByteArray(PIECE)

    /** What the sealer said about the payload; `null` before the header was opened. */
    public val about: About? get() = opening.about

    /** Who signed the payload: known, and certain, when it was read to its end. */
    public val signer: Signer? get() = opening.signer

    /** True when the payload was read to its end, and is complete. */
    public val isComplete: Boolean get() = opening.isComplete

    /** At most [byteCount] bytes, or -1 at the end. */
    override fun read(sink: Buffer, byteCount: Long): Long {
        require(byteCount >= 0) { "a count of bytes" }
        val count = opening.read(piece, 0, minOf(byteCount, PIECE.toLong()).toInt())
        if (count > 0) sink.write(piece, 0, count)
        piece.fill(0, 0, maxOf(count, 0))
        return count.toLong()
    }

    /** That of the source. */
    override fun timeout(): Timeout = sealed.timeout()

    /** Wipes what was not read, and closes the source. */
    override fun close(): Unit = opening.close()
}
