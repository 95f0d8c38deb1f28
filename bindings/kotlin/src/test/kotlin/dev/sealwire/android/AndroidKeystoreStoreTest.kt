package dev.sealwire.android

import android.content.ContextWrapper
import android.security.keystore.KeyGenParameterSpec
import android.security.keystore.KeyProperties
import dev.sealwire.Identity
import dev.sealwire.SealwireException
import java.io.File
import java.io.InputStream
import java.io.OutputStream
import java.nio.file.Files
import java.security.Key
import java.security.KeyStoreSpi
import java.security.Provider
import java.security.ProviderException
import java.security.SecureRandom
import java.security.Security
import java.security.cert.Certificate
import java.security.spec.AlgorithmParameterSpec
import java.util.Collections
import java.util.Date
import java.util.Enumeration
import javax.crypto.KeyGenerator
import javax.crypto.KeyGeneratorSpi
import javax.crypto.SecretKey
import kotlin.test.AfterTest
import kotlin.test.BeforeTest
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNotEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue

/**
 * The store of `android/`, compiled against Android's own classes and run with them, on the JVM's AES-GCM; only the hardware behind the
 * keystore is made up.
 */
class AndroidKeystoreStoreTest {
    private val folder = Files.createTempDirectory("sealwire").toFile()
    private val context = object : ContextWrapper(null) {
        override fun getNoBackupFilesDir() = folder
    }
    private val store = AndroidKeystoreStore(context)
    private val secret = "a secret of some length".encodeToByteArray()

    @BeforeTest
    fun keystore() {
        Hardware.held.clear()
        Security.addProvider(Hardware)
    }

    @AfterTest
    fun away() {
        Security.removeProvider(Hardware.name)
        folder.deleteRecursively()
    }

    @Test
    fun `what was saved is loaded, by another store of the same app too`() {
        assertNull(store.load("alice"))
        store.delete("alice")
        store.save("alice", secret)
        assertContentEquals(secret, AndroidKeystoreStore(context).load("alice"))
        store.save("alice", byteArrayOf())
        assertContentEquals(byteArrayOf(), store.load("alice"))
        store.delete("alice")
        assertNull(store.load("alice"))
    }

    @Test
    fun `an identity is kept in it`() {
        val alice = Identity.generate().also { it.save(store, "alice") }
        assertEquals(alice.recipient, Identity.load(store, "alice")?.recipient)
        file("alice").writeBytes(file("alice").readBytes().copyOf(20))
        assertCode("Truncated") { Identity.load(store, "alice") }
    }

    @Test
    fun `the key cannot leave, and does nothing but AES-256-GCM`() {
        store.save("alice", secret)
        store.save("bob", secret)
        val asked = Hardware.asked.getValue("dev.sealwire")
        assertEquals(256, asked.keySize)
        assertEquals(KeyProperties.PURPOSE_ENCRYPT or KeyProperties.PURPOSE_DECRYPT, asked.purposes)
        assertContentEquals(arrayOf(KeyProperties.BLOCK_MODE_GCM), asked.blockModes)
        assertContentEquals(arrayOf(KeyProperties.ENCRYPTION_PADDING_NONE), asked.encryptionPaddings)
        assertTrue(asked.isRandomizedEncryptionRequired)
        assertEquals(setOf("dev.sealwire"), Hardware.held.keys)
        val (one, other) = file("alice").readBytes() to file("bob").readBytes()
        assertEquals(12 + secret.size + 16, one.size)
        assertFalse(String(one, Charsets.ISO_8859_1).contains("secret"))
        assertNotEquals(one.take(12), other.take(12))
    }

    @Test
    fun `an altered file, a swapped one and one whose key is gone are refused`() {
        store.save("alice", secret)
        store.save("bob", secret)
        val sealed = file("alice").readBytes()
        for (at in listOf(0, 12, sealed.size - 1)) {
            file("alice").writeBytes(sealed.copyOf().also { it[at] = (it[at] + 1).toByte() })
            assertCode("Rejected") { store.load("alice") }
        }
        file("bob").writeBytes(sealed)
        assertCode("Rejected") { store.load("bob") }
        for (size in listOf(0, 11, 12, 27)) {
            file("alice").writeBytes(sealed.copyOf(size))
            assertCode("Truncated") { store.load("alice") }
        }
        file("alice").writeBytes(sealed)
        assertContentEquals(secret, store.load("alice"))
        Hardware.held.clear()
        assertCode("Rejected") { store.load("alice") }
    }

    @Test
    fun `a write that was broken off leaves what was there`() {
        store.save("alice", secret)
        // As Android's AtomicFile leaves it if the process dies: the new file begun, the old one beside it.
        file("alice").renameTo(File(folder, "dev.sealwire/alice.sealed.bak"))
        file("alice").writeBytes(ByteArray(3))
        assertContentEquals(secret, store.load("alice"))
    }

    @Test
    fun `names are those of every store`() {
        for (name in listOf("", ".hidden", "../up", "a/b", "Upper", "a".repeat(65), "ü")) {
            assertCode("Misuse") { store.save(name, secret) }
            assertCode("Misuse") { store.load(name) }
            assertCode("Misuse") { store.delete(name) }
        }
        val name = "a".repeat(64)
        store.save(name, secret)
        assertContentEquals(secret, store.load(name))
    }

    @Test
    fun `hardware that fails is a store that fails`() {
        Hardware.broken = true
        try {
            assertCode("Store") { store.save("alice", secret) }
        } finally {
            Hardware.broken = false
        }
        assertNull(store.load("alice"))
    }

    private fun file(name: String) = File(folder, "dev.sealwire/$name.sealed")

    private fun assertCode(code: String, work: () -> Unit) = assertEquals(code, assertFailsWith<SealwireException> { work() }.code)
}

/** Stands for the device: keys by their alias, and what was asked of them. */
private object Hardware : Provider("AndroidKeyStore", "1", "keys in this process") {
    val held: MutableMap<String, SecretKey> = Collections.synchronizedMap(HashMap())
    val asked: MutableMap<String, KeyGenParameterSpec> = Collections.synchronizedMap(HashMap())
    @Volatile var broken = false

    private fun readResolve(): Any = Hardware

    init {
        put("KeyStore.AndroidKeyStore", Keys::class.java.name)
        put("KeyGenerator.AES", Generator::class.java.name)
    }

    class Generator : KeyGeneratorSpi() {
        private lateinit var wanted: KeyGenParameterSpec

        override fun engineInit(random: SecureRandom?) = error("needs a specification")

        override fun engineInit(size: Int, random: SecureRandom?) = error("needs a specification")

        override fun engineInit(params: AlgorithmParameterSpec, random: SecureRandom?) {
            wanted = params as KeyGenParameterSpec
        }

        override fun engineGenerateKey(): SecretKey {
            if (broken) throw ProviderException("the keystore daemon does not answer")
            asked[wanted.keystoreAlias] = wanted
            return KeyGenerator.getInstance("AES").apply { init(wanted.keySize) }.generateKey().also { held[wanted.keystoreAlias] = it }
        }
    }

    class Keys : KeyStoreSpi() {
        override fun engineGetKey(alias: String, password: CharArray?): Key? = held[alias]

        override fun engineLoad(stream: InputStream?, password: CharArray?) = Unit

        override fun engineContainsAlias(alias: String) = alias in held

        override fun engineSize() = held.size

        override fun engineAliases(): Enumeration<String> = Collections.enumeration(held.keys)

        override fun engineIsKeyEntry(alias: String) = alias in held

        override fun engineDeleteEntry(alias: String) = Unit.also { held.remove(alias) }

        override fun engineGetCertificateChain(alias: String): Array<Certificate>? = null

        override fun engineGetCertificate(alias: String): Certificate? = null

        override fun engineGetCreationDate(alias: String): Date? = null

        override fun engineGetCertificateAlias(cert: Certificate): String? = null

        override fun engineIsCertificateEntry(alias: String) = false

        override fun engineSetKeyEntry(alias: String, key: Key, password: CharArray?, chain: Array<Certificate>?) = error("is not asked")

        override fun engineSetKeyEntry(alias: String, key: ByteArray, chain: Array<Certificate>?) = error("is not asked")

        override fun engineSetCertificateEntry(alias: String, cert: Certificate) = error("is not asked")

        override fun engineStore(stream: OutputStream?, password: CharArray?) = error("is not asked")
    }
}
