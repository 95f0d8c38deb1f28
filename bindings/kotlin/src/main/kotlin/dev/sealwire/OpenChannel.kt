package dev.sealwire

import java.nio.ByteBuffer
import java.nio.channels.ClosedChannelException
import java.nio.channels.NonWritableChannelException
import java.nio.channels.SeekableByteChannel
import dev.sealwire.ffi.Opener as RawOpener
import dev.sealwire.ffi.Range as RawRange
import dev.sealwire.ffi.RangeOpener as RawRangeOpener
import dev.sealwire.ffi.RangeStart as RawRangeStart

/**
 * The payload of an envelope, to be read at random: any range of it costs the chunks (16 KiB) that it touches. [source] is a file's channel, or
 * your own over whatever answers range requests.
 *
 * What it gives is authenticated, for its place in this envelope, and so is the payload's length. It never knows who signed: a signature covers
 * the whole payload, so only a full read yields a signer. `expect` is still checked against what the header claims. The constructor fails as
 * [open] does, for what concerns header, keys and the last chunk.
 *
 * Several threads may use it. Closing it closes [source].
 *
 * ```kotlin
 * OpenChannel(Files.newByteChannel(path), bob, context).use { video -> video.position(1_000_000).read(buffer) }
 * ```
 */
public class OpenChannel(
    private val source: SeekableByteChannel,
    keys: Unlock,
    context: SealContext,
    expect: Collection<Signer>? = null,
    part: String = "",
) : SeekableByteChannel {
    private val held: Held<RawRangeOpener> = calling { start(opener(keys, context, expect, part)) }
    private val length: Long = calling { lend(held).len().toLong() }
    private var position = 0L

    /** What the sealer said about the payload. */
    public val about: About = calling { aboutOf(lend(held).about()) }

    /** The payload's length. */
    override fun size(): Long = length

    /** Where the next [read] begins. */
    @Synchronized
    override fun position(): Long = position

    /** Sets where the next [read] begins. */
    @Synchronized
    override fun position(newPosition: Long): OpenChannel = apply {
        require(newPosition >= 0) { "a position is not negative" }
        position = newPosition
    }

    /** Reads as much as there is room for, or is left of the payload; -1 at its end. */
    @Synchronized
    override fun read(target: ByteBuffer): Int {
        if (!isOpen) throw ClosedChannelException()
        if (position >= length) return -1
        val count = minOf(target.remaining().toLong(), length - position, AT_MOST).toInt()
        if (count == 0) return 0
        val range = RawRange(position.toULong(), (position + count).toULong())
        val content = calling {
            val opener = lend(held)
            opener.open(range, lend(sealed(opener.sealed(range))))
        }
        target.put(content)
        content.fill(0)
        position += count
        return count
    }

    /** It is for reading. */
    override fun write(source: ByteBuffer): Int = throw NonWritableChannelException()

    /** It is for reading. */
    override fun truncate(size: Long): SeekableByteChannel = throw NonWritableChannelException()

    /** True until it is closed. */
    override fun isOpen(): Boolean = source.isOpen

    /** Closes the source too. */
    override fun close() {
        held.close()
        source.close()
    }

    private fun Loan.start(opener: RawOpener): Held<RawRangeOpener> {
        var front = bytes(0, minOf(FRONT, source.size()).toInt())
        while (true) {
            val wanted = dev.sealwire.ffi.frontLen(lend(front))?.toLong()
            if (wanted != null && wanted <= front.size) break
            val next = minOf(wanted ?: MAX_FRONT, source.size()).toInt()
            if (next <= front.size) break // Too short: the next step says so.
            front = bytes(0, next)
        }
        val start = own(RawRangeStart(lend(front), source.size().toULong(), opener))
        return Held(start.finish(lend(sealed(start.sealed()))))
    }

    private fun sealed(range: RawRange): ByteArray = bytes(range.start.toLong(), (range.end - range.start).toInt())

    private fun bytes(start: Long, length: Int): ByteArray {
        val buffer = ByteBuffer.allocate(length)
        source.position(start)
        while (buffer.hasRemaining()) if (source.read(buffer) < 0) throw SealwireException.Truncated()
        return buffer.array()
    }
}

/** Longer than most headers, so that one read mostly suffices. */
private const val FRONT = 16L * 1024
private const val MAX_FRONT = 2L * 1024 * 1024 + 56

/** More is read in several steps. */
private const val AT_MOST = 16L * 1024 * 1024
