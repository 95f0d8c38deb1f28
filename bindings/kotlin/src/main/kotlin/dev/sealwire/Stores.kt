package dev.sealwire

import dev.sealwire.ffi.SecretStoreImpl
import java.io.File
import dev.sealwire.ffi.SecretStore as RawStore

/**
 * Where secrets are kept: an operating system's keystore, a vault, a [FileStore]. Names have 1 to 64 characters of `a-z 0-9 . _ -` and do not
 * begin with a dot. It may be called from several threads. A [SealwireException] that it throws keeps its code; anything else is `Store`.
 */
public interface SecretStore {
    /** Keeps [secret] under [name]; what was there is replaced, atomically. The array is wiped afterwards: copy what you keep. */
    public fun save(name: String, secret: ByteArray)

    /** A copy of what was saved under [name], or `null`. */
    public fun load(name: String): ByteArray?

    /** Forgets what was saved under [name], if anything was. */
    public fun delete(name: String)
}

/**
 * A folder with one sealed file per secret, `NAME.sealed`, made with mode 0600 (the folder with 0700, when the first secret is saved).
 *
 * A file is an envelope under the store's passphrase or key, with its name as the context: files that were swapped are `Rejected`. The folder
 * is not bound: give each folder its own key. Nor is time: an earlier version of a file opens too. Replacement is atomic and durable. A file
 * has at most 1 MiB (`TooLarge`). Source: SPEC §13.
 *
 * ```kotlin
 * FileStore(File("keys"), Passphrase("correct horse battery staple")).use { store -> alice.save(store, "alice") }
 * ```
 */
public class FileStore private constructor(raw: RawStore) : LibraryStore(raw) {
    /** Sealed with a key that is kept elsewhere. */
    public constructor(folder: File, key: SymmetricKey) :
        this(calling { dev.sealwire.ffi.fileStoreWithKey(folder.path, lend(key.held)) })

    /** Sealed with a passphrase: Argon2id runs once, not once for each file. */
    public constructor(folder: File, passphrase: Passphrase) :
        this(calling { dev.sealwire.ffi.fileStoreWithPassphrase(folder.path, lend(passphrase.held)) })
}

/** For tests, and for what may be forgotten with the process. */
public class MemoryStore : LibraryStore(calling { dev.sealwire.ffi.memoryStore() })

/** A store of the library's own. */
public sealed class LibraryStore(raw: Any) : SecretStore, AutoCloseable {
    internal val held = Held(raw as SecretStoreImpl)

    override fun save(name: String, secret: ByteArray): Unit = calling { lend(held).save(name, secret) }

    override fun load(name: String): ByteArray? = calling { lend(held).load(name) }

    override fun delete(name: String): Unit = calling { lend(held).delete(name) }

    /** Forgets the key, or with a [MemoryStore] everything. */
    override fun close(): Unit = held.close()
}

/** A store, to the library. */
internal fun Loan.lend(store: SecretStore): RawStore = if (store is LibraryStore) lend(store.held) else StoreOutside(store)

private class StoreOutside(private val app: SecretStore) : RawStore {
    override fun save(name: String, secret: ByteArray) =
        try {
            answering { app.save(name, secret) }
        } finally {
            secret.fill(0)
        }

    override fun load(name: String): ByteArray? = answering { app.load(name) }

    override fun delete(name: String) = answering { app.delete(name) }
}
