package dev.sealwire.android

import android.content.Context
import android.security.keystore.KeyGenParameterSpec
import android.security.keystore.KeyProperties
import android.util.AtomicFile
import dev.sealwire.SealwireException
import dev.sealwire.SecretStore
import java.io.File
import java.io.FileNotFoundException
import java.security.GeneralSecurityException
import java.security.KeyStore
import java.security.ProviderException
import javax.crypto.AEADBadTagException
import javax.crypto.Cipher
import javax.crypto.KeyGenerator
import javax.crypto.SecretKey
import javax.crypto.spec.GCMParameterSpec

/**
 * A [SecretStore] whose files are sealed with AES-256-GCM, under a key of the AndroidKeyStore that no app can export; a file's name is bound to
 * it. It does not protect against who controls the app's process. Replacement is atomic. If the key is gone, what it sealed is `Rejected`.
 */
public class AndroidKeystoreStore(context: Context, private val alias: String = "dev.sealwire") : SecretStore {
    private val folder = File(context.noBackupFilesDir, alias)

    @Synchronized
    override fun save(name: String, secret: ByteArray): Unit = storing {
        val cipher = Cipher.getInstance(AES_GCM).apply { init(Cipher.ENCRYPT_MODE, key()) }
        cipher.updateAAD(name.encodeToByteArray())
        val sealed = cipher.iv + cipher.doFinal(secret)
        folder.mkdirs()
        val file = file(name)
        val out = file.startWrite()
        try {
            out.write(sealed)
            file.finishWrite(out)
        } catch (failed: Exception) {
            file.failWrite(out)
            throw failed
        }
    }

    @Synchronized
    override fun load(name: String): ByteArray? = storing {
        val sealed =
            try {
                file(name).readFully()
            } catch (_: FileNotFoundException) {
                return null
            }
        if (sealed.size < IV + TAG) throw SealwireException.Truncated()
        val cipher = Cipher.getInstance(AES_GCM).apply { init(Cipher.DECRYPT_MODE, key(), GCMParameterSpec(TAG * 8, sealed, 0, IV)) }
        cipher.updateAAD(name.encodeToByteArray())
        cipher.doFinal(sealed, IV, sealed.size - IV)
    }

    @Synchronized
    override fun delete(name: String): Unit = file(name).delete()

    private fun file(name: String): AtomicFile {
        if (!NAME.matches(name)) throw SealwireException.Misuse("misuse: a name that no store takes")
        return AtomicFile(File(folder, "$name.sealed"))
    }

    private fun key(): SecretKey {
        val keys = KeyStore.getInstance(PROVIDER).apply { load(null) }
        (keys.getKey(alias, null) as SecretKey?)?.let { return it }
        val wanted = KeyGenParameterSpec.Builder(alias, KeyProperties.PURPOSE_ENCRYPT or KeyProperties.PURPOSE_DECRYPT)
            .setBlockModes(KeyProperties.BLOCK_MODE_GCM)
            .setEncryptionPaddings(KeyProperties.ENCRYPTION_PADDING_NONE)
            .setKeySize(256)
            .build()
        return KeyGenerator.getInstance(KeyProperties.KEY_ALGORITHM_AES, PROVIDER).apply { init(wanted) }.generateKey()
    }

    private inline fun <R> storing(work: () -> R): R =
        try {
            work()
        } catch (_: AEADBadTagException) {
            throw SealwireException.Rejected()
        } catch (failed: GeneralSecurityException) {
            throw SealwireException.Store("storage failed: the keystore", failed)
        } catch (failed: ProviderException) {
            // What the keystore's daemon or its hardware throws.
            throw SealwireException.Store("storage failed: the keystore", failed)
        }

    private companion object {
        const val PROVIDER = "AndroidKeyStore"
        const val AES_GCM = "AES/GCM/NoPadding"
        const val IV = 12
        const val TAG = 16
        val NAME = Regex("[a-z0-9_-][a-z0-9._-]{0,63}")
    }
}
