package dev.sealwire

import java.io.File
import java.security.MessageDigest
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

internal val repository = File(System.getProperty("repository") ?: "../..").canonicalFile

internal fun ByteArray.hex(): String = joinToString("") { "%02x".format(it) }

internal fun unhex(text: String): ByteArray = text.chunked(2).map { it.toInt(16).toByte() }.toByteArray()

internal fun sha256(bytes: ByteArray): ByteArray = MessageDigest.getInstance("SHA-256").digest(bytes)

/** It fails, with this code. */
internal fun assertCode(code: String, work: () -> Unit): SealwireException =
    assertFailsWith<SealwireException> { work() }.also { assertEquals(code, it.code, it.toString()) }

/** What this process keeps in memory, in bytes. */
internal fun resident(): Long =
    File("/proc/self/statm").readText().split(" ")[1].toLong() * 4096
