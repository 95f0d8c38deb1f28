package dev.sealwire

import dev.sealwire.ffi.Opening
import dev.sealwire.ffi.Part
import dev.sealwire.ffi.SealOptions
import dev.sealwire.ffi.Sealing
import dev.sealwire.ffi.openOnce
import dev.sealwire.ffi.sealOnce
import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException
import dev.sealwire.ffi.About as RawAbout
import dev.sealwire.ffi.MetadataValue as RawValue
import dev.sealwire.ffi.Opened as RawOpened
import dev.sealwire.ffi.Opener as RawOpener
import dev.sealwire.ffi.Reader as RawReader
import dev.sealwire.ffi.Readers as RawReaders
import dev.sealwire.ffi.Sealer as RawSealer

/**
 * Seals [plaintext] to those in [to], for [context].
 *
 * The result is an envelope: only who is on the list can read it, nobody can change it unnoticed, and it opens only for the same context. It is
 * padded, and unsigned unless [sign] says otherwise: anybody who knows a recipient may have written it. It is 1.4 KB longer than the padded
 * payload for one X-Wing recipient, 0.3 KB for an X25519 one. Source: SPEC §1 to §7.
 *
 * Throws `Misuse` if there is nobody to seal to, if X25519 and X-Wing recipients are mixed, or for a context over its limits; `TooLarge` for
 * more than 1024 readers, or for a payload of 2 GiB (use [SealOutputStream]).
 *
 * ```kotlin
 * val envelope = seal("hello Bob".encodeToByteArray(), to = bob, context = SealContext("notes", "17"), sign = alice)
 * ```
 *
 * @param to the complete list of who can open: one reader, or several as `bob + carol`.
 * @param sign signs, so that readers can tell who wrote it. The server sees neither signer nor signature (SPEC §8).
 * @param metadata **public**: authenticated, not encrypted. At most 64 entries, keys of 1 to 64 bytes, values of at most 4096.
 * @param created when the payload was made, by your clock, told to the readers only: Unix seconds.
 * @param contentType its media type, told to the readers only: 1 to 255 bytes.
 * @param filename a file name, told to the readers only: 1 to 255 bytes, a name and not a path.
 * @param aead the AEAD of the body; without it, what is fast and constant time on this machine.
 * @param padded without padding the envelope shows the payload's exact length.
 * @param part names the body, to be named again to open it: at most 255 bytes.
 */
public fun seal(
    plaintext: ByteArray,
    to: Readers,
    context: SealContext,
    sign: Identity? = null,
    metadata: Map<String, MetadataValue> = emptyMap(),
    created: ULong? = null,
    contentType: String? = null,
    filename: String? = null,
    aead: Aead? = null,
    padded: Boolean = true,
    part: String = "",
): ByteArray = calling {
    val options = options(sign, metadata, created, contentType, filename, aead, padded, part)
    sealOnce(Sealing(context.raw, readerList(to), to.classicalAllowed, options), lend(plaintext))
}

/**
 * Opens [envelope] with [keys], for [context].
 *
 * Nothing is returned before everything was verified. Unsigned envelopes and any signer are accepted, and said, unless [expect] lists who may
 * have signed. Source: SPEC §11.
 *
 * Throws `NotRecipient` if no key opens it (also for a wrong passphrase, and an altered header); `Rejected` if it was altered, belongs to
 * another context or part, or was signed by another; `Truncated`, `Malformed`, `Unsupported` or `TooLarge` if the bytes are no acceptable
 * envelope.
 *
 * ```kotlin
 * val opened = open(envelope, bob, SealContext("notes", "17"), expect = listOf(alice.signer))
 * println(opened.text)
 * ```
 *
 * @param expect who may have signed: anybody else, and the unsigned, are `Rejected`.
 * @param part the body's name, as the sealer gave it.
 */
public fun open(
    envelope: ByteArray,
    keys: Unlock,
    context: SealContext,
    expect: Collection<Signer>? = null,
    part: String = "",
): Opened = calling {
    checkTexts(part)
    val raw =
        if (keys is Keyring) {
            opener(keys, context, expect, part).open(lend(envelope))
        } else {
            openOnce(Opening(context.raw, listOf(key(keys)), expect?.map { it.text }, part), lend(envelope))
        }
    openedOf(raw)
}

/**
 * Changes who can open an envelope, without touching its payload: [to] is the complete new list.
 *
 * It does **not** revoke: a removed reader may have kept the key. [reseal] does, for what is written from then on. Before anything is given
 * away the envelope is verified under [context], so that a server cannot have another row's envelope rewrapped to the wrong people. Throws as
 * [open] and [seal] do; the body's chunks are not looked at. Source: SPEC §12.
 */
public fun rewrap(
    envelope: ByteArray,
    keys: Unlock,
    context: SealContext,
    to: Readers,
    expect: Collection<Signer>? = null,
    part: String = "",
): ByteArray = calling { opener(keys, context, expect, part).rewrap(lend(envelope), readers(to)) }

/**
 * Opens an envelope and seals its payload anew, under a new key: the only revocation there is, for what is written from then on.
 *
 * Metadata, creation time, content type, file name, AEAD and padding are taken over where the arguments do not say something else. An envelope
 * that is signed needs [sign], else `Misuse`. Throws as [open] and [seal] do. Source: SPEC §12.
 */
public fun reseal(
    envelope: ByteArray,
    keys: Unlock,
    context: SealContext,
    to: Readers,
    sign: Identity? = null,
    metadata: Map<String, MetadataValue> = emptyMap(),
    created: ULong? = null,
    contentType: String? = null,
    filename: String? = null,
    aead: Aead? = null,
    padded: Boolean = true,
    part: String = "",
    expect: Collection<Signer>? = null,
): ByteArray = calling {
    val opener = opener(keys, context, expect, part)
    sealer(to, context, sign, metadata, created, contentType, filename, aead, padded, part).reseal(lend(envelope), opener)
}

/** Several payloads under one header, by their names: a record whose columns are sealed one by one, say. Source: SPEC §6. */
public fun sealParts(
    parts: Map<String, ByteArray>,
    to: Readers,
    context: SealContext,
    sign: Identity? = null,
    metadata: Map<String, MetadataValue> = emptyMap(),
    created: ULong? = null,
): SealedParts = calling {
    val sealer = sealer(to, context, sign, metadata, created, null, null, null, true, "")
    val sealed = sealer.sealParts(parts.map { (name, payload) -> Part(name, payload) })
    SealedParts(sealed.header, parts.keys.zip(sealed.bodies).toMap())
}

/** What [sealParts] gives: open each with [openDetached] and its name as `part`. */
public class SealedParts internal constructor(
    /** The header of all. */
    public val header: ByteArray,
    /** The bodies, by their names. */
    public val bodies: Map<String, ByteArray>,
)

/** The same as [open], for a header and a body that are kept apart. */
public fun openDetached(
    header: ByteArray,
    body: ByteArray,
    keys: Unlock,
    context: SealContext,
    expect: Collection<Signer>? = null,
    part: String = "",
): Opened = calling { openedOf(opener(keys, context, expect, part).openDetached(lend(header), lend(body))) }

/**
 * The same as [rewrap], for a header that is kept apart: [bodyFront] is at least the first 56 bytes of the body, which stays as it is. The new
 * header is what is returned.
 */
public fun rewrapHeader(
    header: ByteArray,
    bodyFront: ByteArray,
    keys: Unlock,
    context: SealContext,
    to: Readers,
    expect: Collection<Signer>? = null,
    part: String = "",
): ByteArray = calling { opener(keys, context, expect, part).rewrapHeader(lend(header), lend(bodyFront), readers(to)) }

/** Who can open: a [Reader], or several as `bob + carol`. */
public sealed interface Readers

/** One who can open: a [Recipient] (with a hint, or [Recipient.anonymous]), a [Passphrase], a [SymmetricKey] or a [KeyService]. */
public sealed interface Reader : Readers

/** These readers and those: at most 1024, of which at most 64 anonymous and 2 passphrases. Source: SPEC §4. */
public operator fun Readers.plus(more: Readers): Readers =
    ReaderList(listOf(this) + more, classicalAllowed || more.classicalAllowed)

/** These readers. None is `Misuse` when it is used. */
public fun Iterable<Reader>.toReaders(): Readers = ReaderList(toList(), false)

/**
 * Lets X25519 recipients stand beside X-Wing ones. One of them is enough for a quantum computer to open the whole envelope, so without this the
 * mix is `Misuse`.
 */
public fun Readers.allowClassical(): Readers = ReaderList(listOf(this), true)

internal class Anonymous(val recipient: Recipient) : Reader

private class ReaderList(val readers: List<Readers>, val classical: Boolean) : Readers

private val Readers.classicalAllowed: Boolean get() = this is ReaderList && classical

/** The AEAD of an envelope's body; every reader opens both. */
public enum class Aead(internal val raw: dev.sealwire.ffi.Aead) {
    /** Fast where the processor has instructions for it. */
    Aes256Gcm(dev.sealwire.ffi.Aead.AES256_GCM),

    /** Fast, and constant time, everywhere. */
    ChaCha20Poly1305(dev.sealwire.ffi.Aead.CHA_CHA20_POLY1305),
}

/** A value of an envelope's public metadata. */
public sealed interface MetadataValue {
    /** Text. */
    public data class Text(
        /** At most 4096 bytes of UTF-8. */
        val text: String,
    ) : MetadataValue

    /** A number. */
    public data class Number(
        /** An unsigned integer. */
        val number: ULong,
    ) : MetadataValue

    /** At most 4096 bytes. */
    public class Bytes(bytes: ByteArray) : MetadataValue {
        private val own = bytes.copyOf()

        /** A copy of them. */
        public val bytes: ByteArray get() = own.copyOf()

        /** True for the same bytes. */
        override fun equals(other: Any?): Boolean = other is Bytes && own.contentEquals(other.own)

        /** Of the bytes. */
        override fun hashCode(): Int = own.contentHashCode()
    }
}

/** What the sealer said about the payload; all of it authenticated with the envelope. */
public class About internal constructor(
    /** The public metadata: the server saw it too. */
    public val metadata: Map<String, MetadataValue>,
    /** When it was made, by the sealer's clock: Unix seconds. */
    public val created: ULong?,
    /** The payload's media type. */
    public val contentType: String?,
    /** A file name; never a path. */
    public val filename: String?,
    /**
     * Whether the sealer addressed it to the reader who opened it: listed by name, or others were and this reader was not. `null` if nobody
     * was, or no recipient's key opened it. A rewrap does not change it.
     */
    public val addressedToMe: Boolean?,
) {
    /**
     * The version of the resource, from the metadata's reserved key `version`. Compare it with the last one that you saw: a server can serve an
     * old envelope as new.
     */
    public val version: ULong? get() = (metadata["version"] as? MetadataValue.Number)?.number
}

/** An opened payload, and what is known of it. Everything was verified. */
public class Opened internal constructor(
    /** The payload: an array of its own. */
    public val plaintext: ByteArray,
    /** Who signed exactly this payload for exactly this context; without it nobody signed, and anybody may have written it. */
    public val signer: Signer?,
    /** What the sealer said about it. */
    public val about: About,
) {
    /** The payload as text: throws `Malformed` if it is not UTF-8. */
    public val text: String
        get() =
            try {
                Charsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(plaintext)).toString()
            } catch (_: CharacterCodingException) {
                throw SealwireException.Malformed("malformed: the payload is not UTF-8")
            }
}

/** What to seal with, inside the library. */
internal fun Loan.sealer(
    to: Readers,
    context: SealContext,
    sign: Identity?,
    metadata: Map<String, MetadataValue>,
    created: ULong?,
    contentType: String?,
    filename: String?,
    aead: Aead?,
    padded: Boolean,
    part: String,
): RawSealer = own(RawSealer(context.raw, readers(to), options(sign, metadata, created, contentType, filename, aead, padded, part)))

private fun Loan.options(
    sign: Identity?,
    metadata: Map<String, MetadataValue>,
    created: ULong?,
    contentType: String?,
    filename: String?,
    aead: Aead?,
    padded: Boolean,
    part: String,
): SealOptions {
    val values = metadata.mapValues { (_, value) -> rawValue(value) }
    checkTexts(contentType, filename, part, *metadata.keys.toTypedArray())
    return SealOptions(sign?.let { lend(it.held) }, values, created, contentType, filename, aead?.raw, padded, part)
}

/** What to open with, inside the library. */
internal fun Loan.opener(keys: Unlock, context: SealContext, expect: Collection<Signer>?, part: String): RawOpener =
    own(RawOpener(keyring(keys), context.raw, expect?.map { it.text }, part.also { checkTexts(it) }))

/** Before anything is lent: a key that was handed over with a text that has no UTF-8 would stay in the library. */
private fun checkTexts(vararg texts: String?) {
    if (texts.any { it != null && !Charsets.UTF_8.newEncoder().canEncode(it) }) throw noUtf8()
}

internal fun openedOf(raw: RawOpened): Opened = Opened(raw.plaintext, raw.signer?.let(::Signer), aboutOf(raw.about))

internal fun aboutOf(raw: RawAbout): About =
    About(metadataOf(raw.metadata), raw.created, raw.contentType, raw.filename, raw.addressedToMe)

internal fun metadataOf(raw: Map<String, RawValue>): Map<String, MetadataValue> =
    raw.mapValues { (_, value) ->
        when (value) {
            is RawValue.Text -> MetadataValue.Text(value.value)
            is RawValue.Number -> MetadataValue.Number(value.value)
            is RawValue.Bytes -> MetadataValue.Bytes(value.value)
        }
    }

private fun rawValue(value: MetadataValue): RawValue =
    when (value) {
        is MetadataValue.Text -> RawValue.Text(value.text)
        is MetadataValue.Number -> RawValue.Number(value.number)
        is MetadataValue.Bytes -> RawValue.Bytes(value.bytes)
    }

private fun Loan.readers(to: Readers): RawReaders = own(RawReaders(readerList(to), to.classicalAllowed))

private fun Loan.readerList(to: Readers): List<RawReader> = flat(to).map { reader(it) }

private fun flat(to: Readers): List<Reader> =
    when (to) {
        is Reader -> listOf(to)
        is ReaderList -> to.readers.flatMap(::flat)
    }

private fun Loan.reader(reader: Reader): RawReader =
    when (reader) {
        is Recipient -> RawReader.Recipient(reader.raw)
        is Anonymous -> RawReader.Anonymous(reader.recipient.raw)
        is Passphrase -> RawReader.Passphrase(lend(reader.held))
        is SymmetricKey -> RawReader.Symmetric(lend(reader.held))
        is KeyService -> RawReader.Service(ServiceOutside(reader))
    }
