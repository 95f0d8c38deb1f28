package dev.sealwire

import java.io.IOException

/**
 * What can go wrong. [code] is for programs and never changes its meaning; the message is a fixed sentence without any input data, safe to
 * log. The codes are the same in every language (SPEC §15), but for `internal`, which is a bug of the library.
 *
 * It is an [IOException], so that streams can throw it and HTTP clients hand it on as they do a broken connection.
 *
 * ```kotlin
 * try {
 *     open(envelope, bob, context)
 * } catch (notForUs: SealwireException.NotRecipient) {
 *     null
 * }
 * ```
 */
public sealed class SealwireException(
    /** What went wrong, for programs. */
    public val code: String,
    message: String,
    cause: Throwable? = null,
) : IOException(message, cause) {
    /** The bytes are not what the format describes. */
    public class Malformed(message: String = "malformed: said the app") : SealwireException("Malformed", message)

    /** A version, an algorithm or a critical field that this version does not have. */
    public class Unsupported(message: String = "unsupported: said the app") : SealwireException("Unsupported", message)

    /** A recipient, an identity or a pin that is no valid key. */
    public class InvalidKey(message: String = "invalid key: said the app") : SealwireException("InvalidKey", message)

    /** No slot opens with the keys at hand: a wrong key, a wrong passphrase, or an altered header. */
    public class NotRecipient(message: String = "not a recipient") : SealwireException("NotRecipient", message)

    /** A wrong context, part, chunk, signature or signer; also a body that was cut inside a chunk. */
    public class Rejected(message: String = "rejected") : SealwireException("Rejected", message)

    /** The bytes end too early: in the header, in the first bytes of the body, or between two chunks. */
    public class Truncated(message: String = "truncated") : SealwireException("Truncated", message)

    /** A limit is exceeded (SPEC §14). */
    public class TooLarge(message: String = "too large: said the app") : SealwireException("TooLarge", message)

    /** The caller asked for what the API does not do: a key that was closed, a step twice, a URL that no rule covers. */
    public class Misuse(message: String = "misuse: said the app") : SealwireException("Misuse", message)

    /** A request that was seen before. */
    public class Replayed(message: String = "replayed") : SealwireException("Replayed", message)

    /** A date, a service's key or a signature that is too old, or too far in the future. */
    public class Expired(message: String = "expired") : SealwireException("Expired", message)

    /** A message without the protection that was demanded: a proxy's error page, a stripped or downgraded response. */
    public class Unsealed(
        /** The outer HTTP status of the answer; nobody vouches for it. */
        public val status: Int,
        message: String = "unsealed",
    ) : SealwireException("Unsealed", message)

    /** The network failed; the client's own exception is the [cause]. */
    public class Network(message: String = "network failed: said the app", cause: Throwable? = null) :
        SealwireException("Network", message, cause)

    /** Storage failed: a file, a stream or a keystore. */
    public class Store(message: String = "storage failed: said the app", cause: Throwable? = null) :
        SealwireException("Store", message, cause)

    /** The library itself failed, which is a bug of it. */
    public class Internal(message: String = "the library failed") : SealwireException("internal", message)
}
