package dev.sealwire

import com.google.gson.GsonBuilder
import com.google.gson.JsonArray
import com.google.gson.JsonElement
import com.google.gson.JsonNull
import com.google.gson.JsonObject
import com.google.gson.JsonParser
import com.google.gson.JsonPrimitive
import java.io.ByteArrayOutputStream
import java.io.File

/** Kotlin's share of `tests/matrix/`: writes its cases into the folder at the path given. */
fun main(arguments: Array<String>) {
    val folder = File(arguments.single()).apply { mkdirs() }
    val cases = JsonParser.parseString(repository.resolve("tests/matrix/cases.json").readText()).asJsonArray
    val json = GsonBuilder().serializeNulls().setPrettyPrinting().disableHtmlEscaping().create()
    for (case in cases.map { it.asJsonObject }) {
        folder.resolve("kotlin-${case["name"].asString}.json").writeText(json.toJson(sealed(case)))
    }
}

private fun sealed(case: JsonObject): JsonObject {
    val words = "correct horse battery staple"
    val to = case["to"].asString
    val unlock = JsonObject()
    val (reader, keys) = when (to) {
        "passphrase" -> Passphrase(words, 8192u, 1u, 1u).let { it to it }.also { unlock.addProperty("passphrase", words) }
        "key" -> SymmetricKey.generate().let { it to it }.also { (key, _) -> unlock.addProperty("key", key.reveal().hex()) }
        else -> {
            val identity = Identity.generate(if (to == "X25519") Kem.X25519 else Kem.XWing)
            unlock.addProperty("identity", identity.reveal().decodeToString())
            (if (to == "anonymous") identity.recipient.anonymous() else identity.recipient) to identity
        }
    }
    val given = case["context"].asJsonArray
    val context = contextOf(given)
    val payload = ByteArray(case["length"].asInt) { (it.toLong() * 7 % 251).toByte() }
    val signer = if (case["sign"]?.asBoolean == true) Identity.generate(Kem.X25519) else null
    val metadata = case["metadata"]?.asJsonObject?.entrySet().orEmpty().associate { (key, value) -> key to valueOf(value) }
    val created = case["created"]?.asString?.toULong()
    val type = case["content_type"]?.asString
    val filename = case["filename"]?.asString
    val aead = case["aead"]?.asString?.let { Aead.valueOf(it) }
    val padded = case["padded"]?.asBoolean ?: true
    val part = case["part"]?.asString.orEmpty()
    val envelope =
        if (case["streamed"]?.asBoolean == true) {
            val out = ByteArrayOutputStream()
            SealOutputStream(out, reader, context, null, signer, metadata, created, type, filename, aead, padded, part).use { stream ->
                payload.asList().chunked(10_000).forEach { stream.write(it.toByteArray()) }
                stream.finish()
            }
            out.toByteArray()
        } else {
            seal(payload, reader, context, signer, metadata, created, type, filename, aead, padded, part)
        }
    val addressed = when (open(envelope, keys, context, part = part).about.addressedToMe) {
        true -> "yes"
        false -> "no"
        null -> "unstated"
    }
    return JsonObject().apply {
        addProperty("about", "Sealed in Kotlin: ${case["name"].asString}.")
        addProperty("spec", "matrix")
        addProperty("operation", "open")
        addProperty("expect", "ok")
        addProperty("envelope", toText(envelope))
        add("unlock", unlock)
        add("context", given)
        addProperty("part", part)
        add("signers", signer?.let { JsonArray().apply { add(it.signer.toString()) } } ?: JsonNull.INSTANCE)
        addProperty("plaintext", payload.hex())
        add("signer", signer?.let { JsonPrimitive(it.signer.toString()) } ?: JsonNull.INSTANCE)
        add("metadata", case["metadata"] ?: JsonObject())
        for (name in listOf("created", "content_type", "filename")) add(name, case[name] ?: JsonNull.INSTANCE)
        addProperty("addressed_to_me", addressed)
    }
}

internal fun contextOf(fields: JsonArray): SealContext =
    fields.drop(1).fold(SealContext(fields.firstOrNull()?.asString.orEmpty())) { context, field ->
        when {
            field.isJsonObject -> context.field(unhex(field.asJsonObject["hex"].asString))
            field.asJsonPrimitive.isNumber -> context.field(field.asString.toULong())
            else -> context.field(field.asString)
        }
    }

private fun valueOf(value: JsonElement): MetadataValue =
    when {
        value.isJsonObject -> MetadataValue.Bytes(unhex(value.asJsonObject["hex"].asString))
        value.asJsonPrimitive.isNumber -> MetadataValue.Number(value.asString.toULong())
        else -> MetadataValue.Text(value.asString)
    }
