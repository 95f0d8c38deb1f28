package dev.sealwire

import dev.sealwire.ffi.ContextField
import dev.sealwire.ffi.SealContext as RawContext

/**
 * What a payload is for: a namespace and fields, such as `"notes"` and the note's stable id.
 *
 * The context is bound to the envelope and never sent: opening with another one is `Rejected`, so a server cannot serve the bytes of one row
 * as another. Choose a namespace and an id that never change; a URL changes with the domain.
 *
 * Limits: a namespace of 1 to 128 bytes; at most 16 fields of at most 1024 bytes; both are checked when the context is used (`Misuse`). The
 * text `"1"`, the number `1` and the byte `1` are three different fields. Text is compared byte for byte, without Unicode normalisation.
 * Source: SPEC §9.
 *
 * ```kotlin
 * val note = SealContext("notes", "17")
 * val page = SealContext("wiki/page").field(4u).field("history")
 * ```
 */
public class SealContext private constructor(internal val raw: RawContext) {
    /** A context with text fields; [field] adds others. */
    public constructor(namespace: String, vararg fields: String) : this(RawContext(namespace, fields.map { ContextField.Text(it) }))

    /** The same context with a text field more. */
    public fun field(text: String): SealContext = and(ContextField.Text(text))

    /** The same context with a number more. */
    public fun field(number: ULong): SealContext = and(ContextField.Number(number))

    /** The same context with a number more. */
    public fun field(number: UInt): SealContext = field(number.toULong())

    /** The same context with bytes more. */
    public fun field(bytes: ByteArray): SealContext = and(ContextField.Bytes(bytes.copyOf()))

    private fun and(field: ContextField) = SealContext(RawContext(raw.namespace, raw.fields + field))

    /** The namespace alone: fields may be what an app does not want in its logs. */
    override fun toString(): String = "SealContext(${raw.namespace})"
}
