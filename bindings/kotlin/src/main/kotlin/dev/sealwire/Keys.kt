package dev.sealwire

import dev.sealwire.ffi.Argon2Costs
import dev.sealwire.ffi.Key
import dev.sealwire.ffi.ContentKey as RawContentKey
import dev.sealwire.ffi.Identity as RawIdentity
import dev.sealwire.ffi.KeyService as RawKeyService
import dev.sealwire.ffi.Keyring as RawKeyring
import dev.sealwire.ffi.Passphrase as RawPassphrase
import dev.sealwire.ffi.SymmetricKey as RawSymmetricKey

/** What can open: an [Identity], a [Passphrase], a [SymmetricKey], a [ContentKey], a [KeyService], or several in a [Keyring]. */
public sealed interface Unlock

/**
 * The private keys of a person, a device or a service: one KEM key pair and one signing key pair.
 *
 * They live in the library's memory: nothing that prints or serialises an identity shows them. [close] wipes them; a forgotten identity is
 * wiped when it is collected. Several threads may use one; whoever uses it after [close] gets `Misuse`. The public half, to be given to
 * everybody, is [recipient]. Source: SPEC §10.
 *
 * ```kotlin
 * Identity.generate().use { alice -> println("send me things: ${alice.recipient}") }
 * ```
 */
public class Identity private constructor(raw: RawIdentity) : Unlock, AutoCloseable {
    internal val held = Held(raw)

    /** The public half, to be given to everybody. It stays when the identity is closed. */
    public val recipient: Recipient = Recipient(raw.recipient())

    /** The public signing key: what readers list in `expect`. */
    public val signer: Signer get() = recipient.signer

    /** The secret text form, `sealwire-identity1…`, as 130 bytes of ASCII: keep it secret, and `fill(0)` it when it was used. */
    public fun reveal(): ByteArray = calling { lend(held).reveal() }

    /** Keeps this identity in [store] under [name]; throws as [SecretStore.save] does. */
    public fun save(store: SecretStore, name: String): Unit = calling { lend(held).save(lend(store), name) }

    /** Wipes the keys. */
    override fun close(): Unit = held.close()

    /** Nothing of it but whose it is. */
    override fun toString(): String = "Identity(${recipient.fingerprint})"

    /** Where identities come from. */
    public companion object {
        /**
         * A new identity, with an X-Wing (post-quantum) KEM key pair unless [kem] says otherwise. X25519 has recipients of 223 characters
         * instead of 2118, and is **not** post-quantum.
         */
        public fun generate(kem: Kem = Kem.XWing): Identity = calling { Identity(RawIdentity.generate(kem.raw)) }

        /**
         * Reads the secret text form, `sealwire-identity1…`: `InvalidKey` if a character is wrong or the length, `Unsupported` for another
         * KEM. The JVM cannot wipe a string: where it matters, keep identities in a [SecretStore].
         */
        public fun parse(text: String): Identity = calling { Identity(RawIdentity.parse(text)) }

        /**
         * Reads an identity file: one text form per line; empty lines and lines with `#` in front are skipped. `TooLarge` above 64 KiB or 64
         * identities, `Malformed` if there is none.
         */
        public fun parseFile(text: String): List<Identity> = calling {
            dev.sealwire.ffi.parseIdentityFile(text).map { Identity(it) }
        }

        /**
         * The identity that was saved in [store] under [name], or `null` if there is none. Throws as [SecretStore.load] does, and
         * `InvalidKey` or `Unsupported` if something else is there.
         */
        public fun load(store: SecretStore, name: String): Identity? = calling {
            dev.sealwire.ffi.loadIdentity(lend(store), name)?.let { Identity(it) }
        }
    }
}

/**
 * A passphrase: 1 to 1024 bytes of UTF-8, taken as they are, without Unicode normalisation. Sealing uses Argon2id with 64 MiB, 3 passes and 4
 * lanes (RFC 9106 §4, second recommendation): half a second of work on a phone, so seal and open in the background. Source: SPEC §4.
 */
public class Passphrase private constructor(raw: RawPassphrase) : Unlock, Reader, AutoCloseable {
    internal val held = Held(raw)

    /** `Misuse` for an empty or too long text. The JVM cannot wipe a string. */
    public constructor(text: String) : this(calling { RawPassphrase(text) })

    /** Other costs of Argon2id than the default: [memory] in KiB. `Misuse` below what SPEC §4 allows, or above. */
    public constructor(text: String, memory: UInt, passes: UInt, lanes: UInt) :
        this(calling { RawPassphrase(text, Argon2Costs(memory, passes, lanes)) })

    /** Wipes it. */
    override fun close(): Unit = held.close()

    /** Nothing of it. */
    override fun toString(): String = "Passphrase"
}

/** A symmetric key of 32 bytes, for what one app seals to itself. Source: SPEC §4. */
public class SymmetricKey private constructor(raw: RawSymmetricKey) : Unlock, Reader, AutoCloseable {
    internal val held = Held(raw)

    /** Its name in envelopes: 8 bytes of a hash. */
    public val id: ByteArray get() = calling { lend(held).id() }

    /** The 32 bytes: `fill(0)` them when they were used. */
    public fun reveal(): ByteArray = calling { lend(held).reveal() }

    /** Wipes it. */
    override fun close(): Unit = held.close()

    /** Nothing of it. */
    override fun toString(): String = "SymmetricKey"

    /** Where keys come from. */
    public companion object {
        /** A new key. */
        public fun generate(): SymmetricKey = calling { SymmetricKey(RawSymmetricKey.generate()) }

        /** The key with these 32 bytes (else `InvalidKey`): `fill(0)` your own copy. */
        public fun of(bytes: ByteArray): SymmetricKey = calling { SymmetricKey(RawSymmetricKey.fromBytes(lend(bytes))) }
    }
}

/**
 * The content key of one envelope, from a slot that was unlocked elsewhere, such as in a smart card: run the slot's operation over what
 * [inspect] says of it, with its `binding`.
 */
public class ContentKey private constructor(raw: RawContentKey) : Unlock, AutoCloseable {
    internal val held = Held(raw)

    /** [candidate] is the 32 bytes that a slot gave; `NotRecipient` if they are not those of [envelope]. `fill(0)` your own copy. */
    public constructor(envelope: ByteArray, candidate: ByteArray) : this(calling { RawContentKey(lend(envelope), lend(candidate)) })

    /** Wipes it. */
    override fun close(): Unit = held.close()

    /** Nothing of it. */
    override fun toString(): String = "ContentKey"
}

/**
 * A service that wraps content keys, such as a KMS or an HSM. It is called in the thread that seals or opens. A [SealwireException] that it
 * throws keeps its code; anything else is `Store`.
 */
public interface KeyService : Unlock, Reader {
    /** Its name, which stands in envelopes in clear. */
    public val service: String

    /** Wraps [contentKey], with [binding] as associated data. `fill(0)` what you copied of the key. */
    public fun wrapKey(contentKey: ByteArray, binding: ByteArray): ByteArray

    /** The key that [wrapKey] was given, or `null` if [wrapped] is not one of this service's. */
    public fun unwrapKey(wrapped: ByteArray, binding: ByteArray): ByteArray?
}

/** Keys that may open, in the order in which they are tried. Closing one of them later does not take it away from the ring. */
public class Keyring(vararg keys: Unlock) : Unlock, AutoCloseable {
    internal val held: Held<RawKeyring> = calling { Held(RawKeyring(keys.map { key(it) })) }

    /** Closes the ring, not its keys. */
    override fun close(): Unit = held.close()

    /** Nothing of them. */
    override fun toString(): String = "Keyring"
}

/** A KEM: how a content key is agreed on with a recipient. */
public enum class Kem(internal val raw: dev.sealwire.ffi.Kem) {
    /** ML-KEM-768 with X25519: post-quantum. */
    XWing(dev.sealwire.ffi.Kem.X_WING),

    /** Not post-quantum. */
    X25519(dev.sealwire.ffi.Kem.X25519),
}

/**
 * To whom something can be sealed: a KEM public key and a signing public key, which signs it.
 *
 * Its text form ([toString]) begins `sealwire1` and can be pasted: 2118 characters for X-Wing, 223 for X25519. A recipient that exists has been
 * checked: both keys are valid, and the signing key has signed the KEM key. That is **no proof that one person holds both**, nor that it is
 * the *person* you mean: that is for you to check, with [fingerprint] or [Pin]. Source: SPEC §10.
 */
public class Recipient internal constructor(internal val raw: dev.sealwire.ffi.Recipient) : Reader {
    /** Which KEM its content keys are agreed on with. */
    public val kem: Kem get() = kemOf(raw.kem())

    /** The public signing key, to be listed in `expect`. */
    public val signer: Signer by lazy { Signer(raw.signer()) }

    /** SHA-256 over both public keys, for people to compare. */
    public val fingerprint: Fingerprint by lazy { Fingerprint(raw.fingerprint(), raw.fingerprintText()) }

    /** The short form for configuration files and QR codes. */
    public val pin: Pin get() = Pin(raw.pin())

    /** The same reader without the 4-byte hint by which whoever knows their public keys can test whether they are among the readers. */
    public fun anonymous(): Reader = Anonymous(this)

    /** True if both public keys are the same. */
    override fun equals(other: Any?): Boolean = other is Recipient && fingerprint == other.fingerprint

    /** That of the fingerprint. */
    override fun hashCode(): Int = fingerprint.hashCode()

    /** The text form. */
    override fun toString(): String = raw.toString()

    /** Where recipients come from. */
    public companion object {
        /**
         * Reads the text form, `sealwire1…`, with nothing around it: `InvalidKey` if a character was changed or lost, a key is not valid, or
         * the signing key has not signed the KEM key; `TooLarge` above 4096 characters; `Unsupported` for another KEM.
         */
        public fun parse(text: String): Recipient = calling { Recipient(dev.sealwire.ffi.Recipient.parse(text)) }
    }
}

/**
 * SHA-256 over both public keys of a recipient. [toString] gives the form for people to compare: 8 groups of 4 hex digits (its first 16
 * bytes). Source: SPEC §10.
 */
public class Fingerprint internal constructor(private val all: ByteArray, private val text: String) {
    /** A copy of all 32 bytes. */
    public val bytes: ByteArray get() = all.copyOf()

    /** True if all 32 bytes are the same. */
    override fun equals(other: Any?): Boolean = other is Fingerprint && all.contentEquals(other.all)

    /** Of all 32 bytes. */
    override fun hashCode(): Int = all.contentHashCode()

    /** 8 groups of 4 hex digits. */
    override fun toString(): String = text
}

/**
 * The whole fingerprint as text, `sealwire-pin1…`, 71 characters: names a recipient in a configuration file or a QR code. A pin cannot be
 * sealed to: fetch the full recipient from anywhere, and [check] it.
 */
public class Pin internal constructor(private val text: String) {
    /** Throws `InvalidKey` if [recipient] is not the pinned one. */
    public fun check(recipient: Recipient): Unit = calling { dev.sealwire.ffi.checkPin(text, recipient.raw) }

    /** True if they name the same recipient. */
    override fun equals(other: Any?): Boolean = other is Pin && text == other.text

    /** That of the text. */
    override fun hashCode(): Int = text.hashCode()

    /** The text form. */
    override fun toString(): String = text

    /** Where pins come from. */
    public companion object {
        /** Reads the text form: `InvalidKey` if a character is wrong. */
        public fun parse(text: String): Pin = calling { Pin(dev.sealwire.ffi.parsePin(text)) }
    }
}

/** A public signing key: who signed. Its text form is 64 hex digits. */
public class Signer internal constructor(internal val text: String) {
    /** The name of this key in HTTP signatures. */
    public val keyId: String get() = calling { dev.sealwire.ffi.keyId(text) }

    /** True if it is the same key. */
    override fun equals(other: Any?): Boolean = other is Signer && text == other.text

    /** That of the text. */
    override fun hashCode(): Int = text.hashCode()

    /** The text form. */
    override fun toString(): String = text

    /** Where signers come from. */
    public companion object {
        /** Reads the text form: `InvalidKey` if a character is wrong. */
        public fun parse(text: String): Signer = calling { Signer(dev.sealwire.ffi.parseSigner(text)) }
    }
}

internal fun kemOf(raw: dev.sealwire.ffi.Kem): Kem = Kem.entries.first { it.raw == raw }

/** What the library opens with. */
internal fun Loan.keyring(keys: Unlock): RawKeyring =
    if (keys is Keyring) lend(keys.held) else own(RawKeyring(listOf(key(keys))))

/** One that is no ring. */
internal fun Loan.key(key: Unlock): Key =
    when (key) {
        is Identity -> Key.Identity(lend(key.held))
        is Passphrase -> Key.Passphrase(lend(key.held))
        is SymmetricKey -> Key.Symmetric(lend(key.held))
        is ContentKey -> Key.Content(lend(key.held))
        is KeyService -> Key.Service(ServiceOutside(key))
        is Keyring -> throw SealwireException.Misuse("misuse: a ring in a ring")
    }

/** An app's key service, to the library. */
internal class ServiceOutside(private val app: KeyService) : RawKeyService {
    override fun service(): String = answering { app.service }

    override fun wrapKey(contentKey: ByteArray, binding: ByteArray): ByteArray =
        try {
            answering { app.wrapKey(contentKey, binding) }
        } finally {
            contentKey.fill(0)
        }

    override fun unwrapKey(wrapped: ByteArray, binding: ByteArray): ByteArray? = answering { app.unwrapKey(wrapped, binding) }
}
