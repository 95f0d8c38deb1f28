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

/** [reseal] on [Dispatchers.Default]. */
public suspend fun resealInBackground(
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
): ByteArray = withContext(Dispatchers.Default) {
    reseal(envelope, keys, context, to, sign, metadata, created, contentType, filename, aead, padded, part, expect)
}

/** [sealParts] on [Dispatchers.Default]. */
public suspend fun sealPartsInBackground(
    parts: Map<String, ByteArray>,
    to: Readers,
    context: SealContext,
    sign: Identity? = null,
    metadata: Map<String, MetadataValue> = emptyMap(),
    created: ULong? = null,
): SealedParts = withContext(Dispatchers.Default) { sealParts(parts, to, context, sign, metadata, created) }

/** [openDetached] on [Dispatchers.Default]. */
public suspend fun openDetachedInBackground(
    header: ByteArray,
    body: ByteArray,
    keys: Unlock,
    context: SealContext,
    expect: Collection<Signer>? = null,
    part: String = "",
): Opened = withContext(Dispatchers.Default) { openDetached(header, body, keys, context, expect, part) }

/** [rewrapHeader] on [Dispatchers.Default]. */
public suspend fun rewrapHeaderInBackground(
    header: ByteArray,
    bodyFront: ByteArray,
    keys: Unlock,
    context: SealContext,
    to: Readers,
    expect: Collection<Signer>? = null,
    part: String = "",
): ByteArray = withContext(Dispatchers.Default) { rewrapHeader(header, bodyFront, keys, context, to, expect, part) }
