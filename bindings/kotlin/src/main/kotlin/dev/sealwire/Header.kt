package dev.sealwire

import dev.sealwire.ffi.Locked

/**
 * Reads the header at the front of [envelope], without any key: who needs no key to see what. Throws `Malformed`, `Unsupported`, `Truncated` or
 * `TooLarge` (a header above 2 MiB), as SPEC §1 to §4 say.
 */
public fun inspect(envelope: ByteArray): Header = calling {
    val raw = dev.sealwire.ffi.inspect(lend(envelope))
    Header(
        length = raw.headerLen.toInt(),
        unverifiedId = raw.unverifiedId,
        unverifiedAead = Aead.entries.first { it.raw == raw.unverifiedAead },
        unverifiedPadded = raw.unverifiedPadded,
        unverifiedPrivateBlockLength = raw.unverifiedPrivateBlockLen?.toInt(),
        unverifiedMetadata = metadataOf(raw.unverifiedMetadata),
        unverifiedSlots = raw.unverifiedSlots.map { UnverifiedSlot(lockOf(it.kind), it.binding) },
    )
}

/** An envelope as its header and its body, to be kept apart; put one behind the other, they are the envelope again. */
public fun split(envelope: ByteArray): Pair<ByteArray, ByteArray> {
    val length = headerLength(envelope)?.takeIf { it <= envelope.size } ?: throw SealwireException.Truncated("truncated")
    return envelope.copyOfRange(0, length) to envelope.copyOfRange(length, envelope.size)
}

/** How many bytes the header takes, as soon as the [front] of an envelope tells: a few bytes do. Throws as [inspect] does. */
public fun headerLength(front: ByteArray): Int? = calling { dev.sealwire.ffi.headerLen(lend(front))?.toInt() }

/** The text form of an envelope, for where bytes cannot stand: JSON, say. Source: SPEC §13. */
public fun toText(envelope: ByteArray): String = calling { dev.sealwire.ffi.toText(lend(envelope)) }

/** The envelope of a text form: `Malformed` if it is none. */
public fun fromText(text: String): ByteArray = calling { dev.sealwire.ffi.fromText(text) }

/** The front of an envelope. **Nothing in it is verified**: it is what a stranger claims. Source: SPEC §1, §2. */
public class Header internal constructor(
    /** How many bytes the header takes; the body follows. */
    public val length: Int,
    /** The envelope's id: 32 bytes. */
    public val unverifiedId: ByteArray,
    /** The AEAD of the body. */
    public val unverifiedAead: Aead,
    /** Whether the body is padded. */
    public val unverifiedPadded: Boolean,
    /** How many bytes the private block takes, encrypted, if there is one. */
    public val unverifiedPrivateBlockLength: Int?,
    /** The public metadata. */
    public val unverifiedMetadata: Map<String, MetadataValue>,
    /** The slots, in their order. */
    public val unverifiedSlots: List<UnverifiedSlot>,
)

/** One slot of a header, as a stranger claims it. To unlock it elsewhere run its operation with [binding], then make a [ContentKey]. */
public class UnverifiedSlot internal constructor(
    /** How it is locked. */
    public val lock: Lock,
    /** HPKE's `info`, or a key service's associated data. */
    public val binding: ByteArray,
) {
    /** How a slot is locked. */
    public sealed interface Lock {
        /** To a recipient; without [hint] to an anonymous one. */
        public class Hpke internal constructor(
            /** The KEM. */
            public val kem: Kem,
            /** 4 bytes by which whoever knows a recipient can test whether it is this one. */
            public val hint: ByteArray?,
            /** HPKE's encapsulated key. */
            public val enc: ByteArray,
            /** The wrapped content key. */
            public val ct: ByteArray,
        ) : Lock

        /** With a passphrase, by Argon2id. */
        public class Passphrase internal constructor(
            /** Its salt. */
            public val salt: ByteArray,
            /** In KiB. */
            public val memory: UInt,
            /** How often. */
            public val passes: UInt,
            /** How wide. */
            public val lanes: UInt,
            /** The wrapped content key. */
            public val ct: ByteArray,
        ) : Lock

        /** With a symmetric key. */
        public class Symmetric internal constructor(
            /** Its salt. */
            public val salt: ByteArray,
            /** The key's name. */
            public val keyId: ByteArray,
            /** The wrapped content key. */
            public val ct: ByteArray,
        ) : Lock

        /** By a key service. */
        public class External internal constructor(
            /** The service's name. */
            public val service: String,
            /** The wrapped content key. */
            public val ct: ByteArray,
        ) : Lock

        /** In a way that this version does not know. */
        public data object Unknown : Lock
    }
}

private fun lockOf(raw: Locked): UnverifiedSlot.Lock =
    when (raw) {
        is Locked.Hpke -> UnverifiedSlot.Lock.Hpke(kemOf(raw.kem), raw.hint, raw.enc, raw.ct)
        is Locked.Passphrase -> UnverifiedSlot.Lock.Passphrase(raw.salt, raw.memory, raw.passes, raw.lanes, raw.ct)
        is Locked.Symmetric -> UnverifiedSlot.Lock.Symmetric(raw.salt, raw.keyId, raw.ct)
        is Locked.External -> UnverifiedSlot.Lock.External(raw.service, raw.ct)
        Locked.Unknown -> UnverifiedSlot.Lock.Unknown
    }
