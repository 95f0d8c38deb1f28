package dev.sealwire

import com.google.crypto.tink.HybridDecrypt
import com.google.crypto.tink.HybridEncrypt
import com.google.crypto.tink.KeyTemplates
import com.google.crypto.tink.KeysetHandle
import com.google.crypto.tink.RegistryConfiguration
import com.google.crypto.tink.hybrid.HybridConfig
import com.google.gson.JsonParser
import java.io.File

/**
 * What the boundary costs in Kotlin: seal and open beside Rust, and beside Tink (hybrid HPKE), in one run. The README says how it is run.
 *
 * `--quick` runs everything for an instant, to see that it runs; `--write` writes the table into `bindings/RESULTS.md` too: only on a machine
 * that does nothing else.
 */
fun main(arguments: Array<String>) {
    val quick = "--quick" in arguments
    // Short measures in many rounds: a busy moment of the machine then spoils few of them.
    val seconds = if (quick) 0.02 else 0.3
    val rounds = if (quick) 1 else 11
    rust(0.0) // Builds it.
    if (!quick) repeat(2) { kotlin(1.0) + tink(1.0) } // What the JVM has compiled by then it runs as fast as it ever will.
    val runs = LinkedHashMap<String, MutableMap<String, MutableList<Double>>>()
    // In turn, so that a busy moment of the machine falls on everybody.
    repeat(rounds) {
        for ((who, measured) in listOf("rust" to rust(seconds), "kotlin" to kotlin(seconds), "tink" to tink(seconds))) {
            for ((what, micros) in measured) runs.getOrPut(what, ::LinkedHashMap).getOrPut(who, ::ArrayList).add(micros)
        }
    }
    val rows = runs.map { (what, by) ->
        val (core, ours, theirs) = listOf("rust", "kotlin", "tink").map { middle(by.getValue(it)) }
        val other = if (what.endsWith(Kem.X25519.suffix)) "" else ", classical"
        "| $what | %.1f µs | %.1f µs | %.2f | %.1f µs$other | %.2f |".format(core, ours, ours / core, theirs, theirs / ours)
    }
    val text = """
        |### Kotlin
        |
        |Made by `mvn -q test-compile exec:exec@bench -Dbench=--write` in `bindings/kotlin`: medians of $rounds rounds, in turn. $cpu; Java
        |${Runtime.version()}, Tink $tink. Ours is from the options on, and for X-Wing (post-quantum) where nothing is said. Tink's is
        |DHKEM(X25519, HKDF-SHA256) with AES-256-GCM: classical, to be compared with the X25519 rows; it does not pad, and knows no chunks.
        |
        || what | Rust | Kotlin | Kotlin ÷ Rust | Tink | times faster than Tink |
        ||---|---|---|---|---|---|
        |
    """.trimMargin() + rows.joinToString("\n", postfix = "\n")
    println(text)
    if ("--write" in arguments) write(text)
}

private val sizes = mapOf("1 KiB" to (1 shl 10), "1 MiB" to (1 shl 20))

/** What the rows of an identity are called after. */
private val Kem.suffix get() = if (this == Kem.XWing) "" else ", $name"

private fun rust(seconds: Double): Map<String, Double> {
    val command = "cargo run --quiet --locked --release -p sealwire-bindings --example cost -- $seconds".split(' ')
    val cost = ProcessBuilder(command).directory(repository).redirectError(ProcessBuilder.Redirect.INHERIT).start()
    val said = cost.inputStream.reader().readText()
    check(cost.waitFor() == 0) { "Rust could not be measured" }
    return JsonParser.parseString(said).asJsonObject.entrySet().associate { (what, micros) -> what to micros.asDouble }
}

private fun kotlin(seconds: Double): Map<String, Double> = buildMap {
    val context = SealContext("bench", "1")
    for (kem in Kem.entries) {
        val identity = Identity.generate(kem)
        for ((name, size) in sizes) {
            val payload = ByteArray(size) { 7 }
            val envelope = seal(payload, identity.recipient, context)
            put("seal $name${kem.suffix}", median(seconds) { seal(payload, identity.recipient, context) })
            put("open $name${kem.suffix}", median(seconds) { open(envelope, identity, context) })
        }
    }
}

private fun tink(seconds: Double): Map<String, Double> = buildMap {
    HybridConfig.register()
    val handle = KeysetHandle.generateNew(KeyTemplates.get("DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_AES_256_GCM"))
    val encrypt = handle.publicKeysetHandle.getPrimitive(RegistryConfiguration.get(), HybridEncrypt::class.java)
    val decrypt = handle.getPrimitive(RegistryConfiguration.get(), HybridDecrypt::class.java)
    val context = "bench".encodeToByteArray()
    for ((name, size) in sizes) {
        val payload = ByteArray(size) { 7 }
        val sealed = encrypt.encrypt(payload, context)
        val (seals, opens) = median(seconds) { encrypt.encrypt(payload, context) } to median(seconds) { decrypt.decrypt(sealed, context) }
        // It is of one kind, whatever stands beside it.
        for (kem in Kem.entries) {
            put("seal $name${kem.suffix}", seals)
            put("open $name${kem.suffix}", opens)
        }
    }
}

/** Of single runs, in microseconds. */
private fun median(seconds: Double, run: () -> Any): Double {
    val end = System.nanoTime() + (seconds * 1e9).toLong()
    val runs = ArrayList<Double>()
    while (System.nanoTime() < end || runs.size < 20) {
        val started = System.nanoTime()
        kept = run()
        runs.add((System.nanoTime() - started) / 1000.0)
    }
    return middle(runs)
}

private fun middle(of: List<Double>) = of.sorted()[of.size / 2]

/** What is not used might not be made. */
@Volatile
private var kept: Any? = null

private val tink get() = Regex("<artifactId>tink</artifactId>\\s*<version>(.*?)</version>").find(repository.resolve("bindings/kotlin/pom.xml").readText())!!.groupValues[1]

private val cpu get() = File("/proc/cpuinfo").readLines().first { it.startsWith("model name") }.substringAfter(": ")

/** In the place of what was there, or at the end. */
private fun write(text: String) {
    val (begin, end) = "<!-- kotlin -->\n" to "<!-- /kotlin -->\n"
    val file = repository.resolve("bindings/RESULTS.md")
    val whole = if (file.exists()) file.readText() else "# What the boundary costs\n\nSealing and opening in each language beside Rust, in the same run.\n"
    val others = if (begin in whole) whole.substringBefore(begin) to whole.substringAfter(end) else "$whole\n" to ""
    file.writeText(others.first + begin + text + end + others.second)
}
