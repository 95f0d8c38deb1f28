import Foundation
import SealwireRaw

/// Where secrets are kept: a keychain, a folder of sealed files, a vault of your own.
///
/// Names are 1 to 64 of `a-z 0-9 . _ -` and do not begin with a dot. Errors that are a ``SealwireError`` keep their code; all others become `Store`.
public protocol SecretStore: Sendable {
    /// Replaces what was there, atomically.
    func save(_ secret: Data, name: String) throws
    /// What is there, if anything.
    func load(name: String) throws -> Data?
    /// Nothing is there afterwards; that nothing was there before is no error.
    func delete(name: String) throws
}

/// For tests, and for what may be forgotten with the process.
public final class MemoryStore: LibraryStore, @unchecked Sendable {
    public init() {
        super.init(SealwireRaw.memoryStore())
    }
}

/// A folder whose files are sealed, each for its own name.
///
/// With a passphrase every file costs a run of Argon2 (64 MiB); with a key, which is kept elsewhere, none does.
public final class FileStore: LibraryStore, @unchecked Sendable {
    public init(folder: URL, passphrase: Passphrase) throws {
        super.init(try crossing { try SealwireRaw.fileStoreWithPassphrase(folder: folder.path, passphrase: passphrase.raw) })
    }

    public init(folder: URL, key: SymmetricKey) throws {
        super.init(try crossing { try SealwireRaw.fileStoreWithKey(folder: folder.path, key: key.raw) })
    }
}

/// One of the library's own stores: ``MemoryStore``, ``FileStore``.
public class LibraryStore: SecretStore, @unchecked Sendable {
    let raw: any SealwireRaw.SecretStore

    init(_ raw: any SealwireRaw.SecretStore) {
        self.raw = raw
    }

    public final func save(_ secret: Data, name: String) throws {
        try crossing { try raw.save(name: name, secret: try lent(secret)) }
    }

    public final func load(name: String) throws -> Data? {
        try crossing { try raw.load(name: name) }
    }

    public final func delete(name: String) throws {
        try crossing { try raw.delete(name: name) }
    }
}

/// A store to Rust, whose own ones do not take the way through Swift.
func rawStore(_ store: any SecretStore) -> any SealwireRaw.SecretStore {
    (store as? LibraryStore)?.raw ?? OutsideStore(store)
}

final class OutsideStore: SealwireRaw.SecretStore {
    private let inner: any SecretStore

    init(_ inner: any SecretStore) {
        self.inner = inner
    }

    func save(name: String, secret: Data) throws {
        try outside { try inner.save(secret, name: name) }
    }

    func load(name: String) throws -> Data? {
        try outside { try inner.load(name: name) }
    }

    func delete(name: String) throws {
        try outside { try inner.delete(name: name) }
    }
}
