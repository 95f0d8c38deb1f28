package dev.sealwire

import com.google.gson.JsonElement
import com.google.gson.JsonNull
import com.google.gson.JsonObject
import com.google.gson.JsonParser
import com.google.gson.JsonPrimitive
import java.io.ByteArrayInputStream
import java.io.File
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.channels.SeekableByteChannel
import java.nio.file.Files
import kotlin.io.path.deleteExisting
import kotlin.io.path.writeBytes
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory

/** Every case of `tests/vectors/envelope/` and of `SEALWIRE_VECTORS`, with the same outcomes as in `tests/tests/conformance.rs`. */
class VectorsTest {
    private val cases = listOfNotNull(repository.resolve("tests/vectors"), System.getenv("SEALWIRE_VECTORS")?.let(::File))
        .flatMap { folder -> folder.walk().filter { it.extension == "json" } }
        .map { it to JsonParser.parseString(it.readText()) }
        .filter { (_, json) -> json.isJsonObject && json.asJsonObject.has("operation") }

    @Test
    fun `there are vectors`() = assertTrue(cases.size >= 500, "only ${cases.size}")

    @TestFactory
    fun vectors(): List<DynamicTest> =
        cases.map { (file, json) ->
            val case = json.asJsonObject
            dynamicTest(file.name) { assertEquals(case["expect"].asString, outcome(case), file.path) }
        }
}

/** The code of the outcome; an `ok` that gives something else than the case says is another text. */
private fun outcome(case: JsonObject): String =
    try {
        val right = when (val operation = case["operation"].asString) {
            "open" -> opens(case)
            "recipient" -> Recipient.parse(case["text"].asString).fingerprint.bytes.hex() == case["fingerprint"].asString
            "pin" -> Pin.parse(case["text"].asString).toString() == case["text"].asString
            "identity" -> Identity.parse(case["text"].asString).use { it.recipient.fingerprint.bytes.hex() == case["fingerprint"].asString }
            "text" -> fromText(case["text"].asString).hex() == case["bytes"].asString
            else -> error("unknown operation $operation")
        }
        if (right) "ok" else "ok, but different"
    } catch (error: SealwireException) {
        error.code
    }

private fun opens(case: JsonObject): Boolean {
    val envelope = fromText(case["envelope"].asString)
    val context = contextOf(case["context"].asJsonArray)
    val signers = case["signers"].orNull()?.asJsonArray?.map { Signer.parse(it.asString) }
    val part = case["part"].asString
    val keys = keysOf(case["unlock"].asJsonObject)
    val streamed = Streamed(envelope, keys, context, signers, part)
    val opened =
        try {
            open(envelope, keys, context, signers, part)
        } catch (error: SealwireException) {
            // The stream says the same, and what came out of it before were whole chunks, which were authenticated.
            assertEquals(error.code, streamed.error?.code)
            assertEquals(0, streamed.plaintext.size % (16 * 1024))
            throw error
        }
    assertEquals(null, streamed.error)
    assertContentEquals(opened.plaintext, streamed.plaintext)
    assertEquals(opened.signer, streamed.signer)
    assertContentEquals(opened.plaintext, byChannel(envelope, keys, context, signers, part))
    return matches(opened, case)
}

/** What a stream gave, up to its end or its error. */
private class Streamed(envelope: ByteArray, keys: Unlock, context: SealContext, signers: List<Signer>?, part: String) {
    var plaintext = ByteArray(0)
    var error: SealwireException? = null
    var signer: Signer? = null

    init {
        // In two pieces, the first within the header.
        val cut = minOf(7, envelope.size)
        val source = java.io.SequenceInputStream(ByteArrayInputStream(envelope, 0, cut), ByteArrayInputStream(envelope, cut, envelope.size - cut))
        OpenInputStream(source, keys, context, signers, part).use { stream ->
            try {
                val piece = ByteArray(10_000)
                while (true) {
                    val count = stream.read(piece)
                    if (count < 0) break
                    plaintext += piece.copyOf(count)
                }
                assertTrue(stream.isComplete)
                signer = stream.signer
            } catch (thrown: SealwireException) {
                error = thrown
            }
        }
    }
}

/** Two halves by random access. */
private fun byChannel(envelope: ByteArray, keys: Unlock, context: SealContext, signers: List<Signer>?, part: String): ByteArray {
    val file = Files.createTempFile("sealwire", ".sealed")
    try {
        file.writeBytes(envelope)
        return OpenChannel(Files.newByteChannel(file), keys, context, signers, part).use { channel ->
            val half = channel.size() / 2
            val back = channel.position(half).all()
            channel.position(0).all().copyOf(half.toInt()) + back
        }
    } finally {
        file.deleteExisting()
    }
}

internal fun SeekableByteChannel.all(): ByteArray {
    val buffer = ByteBuffer.allocate((size() - position()).toInt())
    while (read(buffer) > 0) Unit
    if (buffer.hasRemaining()) throw IOException("too few bytes")
    return buffer.array()
}

private fun keysOf(named: JsonObject): Unlock {
    fun one(key: JsonObject): Unlock = when {
        key.has("identity") -> Identity.parse(key["identity"].asString)
        key.has("passphrase") -> Passphrase(key["passphrase"].asString)
        else -> SymmetricKey.of(unhex(key["key"].asString))
    }
    return when {
        named.has("identities") -> Keyring(*named["identities"].asJsonArray.map { Identity.parse(it.asString) }.toTypedArray())
        named.has("keyring") -> Keyring(*named["keyring"].asJsonArray.map { one(it.asJsonObject) }.toTypedArray())
        else -> one(named)
    }
}

private fun matches(opened: Opened, case: JsonObject): Boolean {
    val about = opened.about
    val metadata = JsonObject()
    about.metadata.forEach { (key, value) ->
        metadata.add(key, when (value) {
            is MetadataValue.Text -> JsonPrimitive(value.text)
            is MetadataValue.Number -> JsonPrimitive(java.math.BigInteger(value.number.toString()))
            is MetadataValue.Bytes -> JsonObject().apply { addProperty("hex", value.bytes.hex()) }
        })
    }
    val addressed = when (about.addressedToMe) {
        true -> "yes"
        false -> "no"
        null -> "unstated"
    }
    return (case["plaintext"].orNull()?.let { it.asString == opened.plaintext.hex() }
        ?: (case["plaintext_len"].asInt == opened.plaintext.size && case["plaintext_sha256"].asString == sha256(opened.plaintext).hex())) &&
        case["signer"].orNull()?.let { Signer.parse(it.asString) } == opened.signer &&
        case["addressed_to_me"].asString == addressed &&
        case["metadata"] == metadata &&
        case["created"].orNull()?.asString?.toULong() == about.created &&
        case["content_type"].orNull()?.asString == about.contentType &&
        case["filename"].orNull()?.asString == about.filename
}

private fun JsonElement?.orNull(): JsonElement? = this?.takeIf { it !is JsonNull }
