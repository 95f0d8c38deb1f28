package dev.sealwire

import com.google.crypto.tink.HybridDecrypt
import com.google.crypto.tink.HybridEncrypt
import com.google.crypto.tink.KeyTemplates
import com.google.crypto.tink.KeysetHandle
import com.google.crypto.tink.RegistryConfiguration
import com.google.crypto.tink.hybrid.HybridConfig

/** Rows for `bindings/RESULTS.md`: the median of what one call takes, beside Tink's hybrid HPKE with X25519. */
fun main() {
    HybridConfig.register()
    val handle = KeysetHandle.generateNew(KeyTemplates.get("DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_AES_256_GCM"))
    val encrypt = handle.publicKeysetHandle.getPrimitive(RegistryConfiguration.get(), HybridEncrypt::class.java)
    val decrypt = handle.getPrimitive(RegistryConfiguration.get(), HybridDecrypt::class.java)
    val bob = Identity.generate(Kem.X25519)
    val hybrid = Identity.generate()
    val context = SealContext("notes", "17")
    val info = "notes 17".encodeToByteArray()
    println("| size | call | Sealwire X25519 | Sealwire X-Wing | Tink X25519 |\n|---|---|---|---|---|")
    for ((name, size) in listOf("1 KiB" to 1024, "1 MiB" to 1024 * 1024)) {
        val payload = ByteArray(size) { it.toByte() }
        val (ours, theirs) = seal(payload, bob.recipient, context, padded = false) to encrypt.encrypt(payload, info)
        val pq = seal(payload, hybrid.recipient, context, padded = false)
        val sealing = listOf(
            micros { seal(payload, bob.recipient, context, padded = false) },
            micros { seal(payload, hybrid.recipient, context, padded = false) },
            micros { encrypt.encrypt(payload, info) },
        )
        val opening = listOf(micros { open(ours, bob, context) }, micros { open(pq, hybrid, context) }, micros { decrypt.decrypt(theirs, info) })
        println("| $name | seal | ${sealing.joinToString(" | ") { "$it µs" }} |")
        println("| $name | open | ${opening.joinToString(" | ") { "$it µs" }} |")
    }
}

private fun micros(work: () -> Unit): Long {
    val warm = System.nanoTime() + 1_000_000_000
    while (System.nanoTime() < warm) work()
    return LongArray(301) { System.nanoTime().let { began -> work().let { System.nanoTime() - began } } }.apply { sort() }[150] / 1000
}
