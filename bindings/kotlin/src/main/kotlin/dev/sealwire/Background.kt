package dev.sealwire

import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext

/** [seal] on [Dispatchers.Default], for where the caller's thread must not wait: passphrases and large payloads take their time. */
public suspend fun sealInBackground(
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
): ByteArray = withContext(Dispatchers.Default) {
    seal(plaintext, to, context, sign, metadata, created, contentType, filename, aead, padded, part)
}

/** [open] on [Dispatchers.Default]. */
public suspend fun openInBackground(
    envelope: ByteArray,
    keys: Unlock,
    context: SealContext,
    expect: Collection<Signer>? = null,
    part: String = "",
): Opened = withContext(Dispatchers.Default) { open(envelope, keys, context, expect, part) }

/** [rewrap] on [Dispatchers.Default]. */
public suspend fun rewrapInBackground(
    envelope: ByteArray,
    keys: Unlock,
    context: SealContext,
    to: Readers,
    expect: Collection<Signer>? = null,
    part: String = "",
): ByteArray = withContext(Dispatchers.Default) { rewrap(envelope, keys, context, to, expect, part) }
