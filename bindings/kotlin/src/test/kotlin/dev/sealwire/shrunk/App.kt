package dev.sealwire.shrunk

import dev.sealwire.Identity
import dev.sealwire.KeyService
import dev.sealwire.MetadataValue
import dev.sealwire.OpenInputStream
import dev.sealwire.SealContext
import dev.sealwire.SealOutputStream
import dev.sealwire.SealwireException
import dev.sealwire.SecretStore
import dev.sealwire.open
import dev.sealwire.plus
import dev.sealwire.seal
import java.io.ByteArrayOutputStream

/** What crosses the boundary in every way that there is: records, objects, errors, streams, and calls back into the app. */
fun main() {
    val store = object : SecretStore {
        private val kept = HashMap<String, ByteArray>()

        override fun save(name: String, secret: ByteArray) = kept.set(name, secret.copyOf())

        override fun load(name: String) = kept[name]?.copyOf()

        override fun delete(name: String) = Unit.also { kept.remove(name) }
    }
    val kms = object : KeyService {
        override val service = "kms"

        override fun wrapKey(contentKey: ByteArray, binding: ByteArray) = contentKey.reversedArray()

        override fun unwrapKey(wrapped: ByteArray, binding: ByteArray) = wrapped.reversedArray()
    }
    Identity.generate().save(store, "alice")
    val alice = checkNotNull(Identity.load(store, "alice"))
    val context = SealContext("notes", "17")
    val note = "meet me at noon".encodeToByteArray()
    val envelope = seal(note, alice.recipient + kms, context, sign = alice, metadata = mapOf("kind" to MetadataValue.Text("note")))
    check(open(envelope, alice, context, listOf(alice.signer)).text == "meet me at noon")
    check(open(envelope, kms, context).about.metadata.size == 1)
    try {
        open(envelope, Identity.generate(), context)
    } catch (error: SealwireException) {
        check(error.code == "NotRecipient")
    }
    val out = ByteArrayOutputStream()
    SealOutputStream(out, alice.recipient, context).use { it.write(ByteArray(50_000)).also { _ -> it.finish() } }
    check(OpenInputStream(out.toByteArray().inputStream(), alice, context).use { it.readBytes() }.size == 50_000)
    println("all of it, as ${alice.javaClass.name}")
}
