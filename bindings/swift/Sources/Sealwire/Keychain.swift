#if canImport(Security)
import Foundation
import Security

/// A ``SecretStore`` in the platform's keychain.
///
/// Items are generic passwords of `service`, for this device only, and readable as `accessible` says: while the device is unlocked, unless told otherwise
/// (`kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly` is for apps that run in the background). They are in no backup and in no iCloud keychain: keep
/// the identity sealed to a passphrase or a recovery key elsewhere, or who loses the device loses the data.
public final class KeychainStore: SecretStore, @unchecked Sendable {
    private let service: String
    private let accessGroup: String?
    private let accessible: CFString

    /// `service` names your app; `accessGroup` shares the items with others of your apps.
    public init(
        service: String,
        accessGroup: String? = nil,
        accessible: CFString = kSecAttrAccessibleWhenUnlockedThisDeviceOnly
    ) {
        self.service = service
        self.accessGroup = accessGroup
        self.accessible = accessible
    }

    public func save(_ secret: Data, name: String) throws {
        let changes: [CFString: Any] = [kSecValueData: secret, kSecAttrAccessible: accessible]
        var status = SecItemUpdate(item(name) as CFDictionary, changes as CFDictionary)
        if status == errSecItemNotFound {
            let new = item(name).merging(changes) { _, change in change }
            status = SecItemAdd(new as CFDictionary, nil)
            // Somebody else was faster.
            if status == errSecDuplicateItem { status = SecItemUpdate(item(name) as CFDictionary, changes as CFDictionary) }
        }
        try check(status)
    }

    public func load(name: String) throws -> Data? {
        var query = item(name)
        query[kSecReturnData] = true
        query[kSecMatchLimit] = kSecMatchLimitOne
        var found: CFTypeRef?
        let status = SecItemCopyMatching(query as CFDictionary, &found)
        if status == errSecItemNotFound { return nil }
        try check(status)
        guard let secret = found as? Data else { throw SealwireError(.store, "storage failed: the keychain") }
        return secret
    }

    public func delete(name: String) throws {
        let status = SecItemDelete(item(name) as CFDictionary)
        if status != errSecItemNotFound { try check(status) }
    }

    private func item(_ name: String) -> [CFString: Any] {
        var item: [CFString: Any] = [
            kSecClass: kSecClassGenericPassword,
            kSecAttrService: service,
            kSecAttrAccount: name,
            // The same keychain on every Apple platform.
            kSecUseDataProtectionKeychain: true,
        ]
        if let accessGroup { item[kSecAttrAccessGroup] = accessGroup }
        return item
    }
}

/// A ``SecretStore`` whose secrets are encrypted to a key in the Secure Enclave before another store keeps them: who copies that store, and the device's disk
/// with it, reads nothing.
///
/// The key never leaves the enclave and is made at the first `save`; the encryption is the platform's own ECIES (`eciesEncryptionCofactorVariableIVX963SHA256AESGCM`,
/// P-256). With `access` (`.userPresence`, `.biometryCurrentSet`) the platform asks the user before anything is loaded. P-256 is **not** post-quantum: who records the
/// other store and later has a quantum computer opens it.
///
/// Throws `Store` where there is no enclave, and if its key is gone or the user refuses; `Rejected` for what was encrypted under another name.
public final class SecureEnclaveStore: SecretStore, @unchecked Sendable {
    private static let algorithm = SecKeyAlgorithm.eciesEncryptionCofactorVariableIVX963SHA256AESGCM
    private let inner: any SecretStore
    private let tag: Data
    private let access: SecAccessControlCreateFlags
    private let lock = NSLock()

    /// `tag` names the key, in reverse-DNS notation: one for each app.
    public init(over inner: any SecretStore, tag: String, access: SecAccessControlCreateFlags = []) {
        self.inner = inner
        self.tag = Data(tag.utf8)
        self.access = access
    }

    public func save(_ secret: Data, name: String) throws {
        let key = try lock.withLock { try enclaveKey() ?? makeEnclaveKey() }
        guard let publicKey = SecKeyCopyPublicKey(key) else { throw failed() }
        var named = Data(name.utf8) + [0] + secret
        defer { named.resetBytes(in: 0..<named.count) }
        guard let sealed = SecKeyCreateEncryptedData(publicKey, Self.algorithm, named as CFData, nil) else { throw failed() }
        try inner.save(sealed as Data, name: name)
    }

    public func load(name: String) throws -> Data? {
        guard let sealed = try inner.load(name: name) else { return nil }
        guard let key = try lock.withLock({ try enclaveKey() }) else {
            throw SealwireError(.store, "storage failed: the enclave's key is gone")
        }
        guard let opened = SecKeyCreateDecryptedData(key, Self.algorithm, sealed as CFData, nil) else { throw failed() }
        let (named, prefix) = (opened as Data, Data(name.utf8) + [0])
        guard named.starts(with: prefix) else { throw SealwireError(.rejected, "rejected: a secret of another name") }
        return Data(named.dropFirst(prefix.count))
    }

    public func delete(name: String) throws {
        try inner.delete(name: name)
    }

    private func enclaveKey() throws -> SecKey? {
        let query: [CFString: Any] = [
            kSecClass: kSecClassKey,
            kSecAttrApplicationTag: tag,
            kSecAttrKeyType: kSecAttrKeyTypeECSECPrimeRandom,
            kSecAttrKeyClass: kSecAttrKeyClassPrivate,
            kSecUseDataProtectionKeychain: true,
            kSecReturnRef: true,
        ]
        var found: CFTypeRef?
        let status = SecItemCopyMatching(query as CFDictionary, &found)
        if status == errSecItemNotFound { return nil }
        try check(status)
        guard let found, CFGetTypeID(found) == SecKeyGetTypeID() else { throw failed() }
        return (found as! SecKey)
    }

    private func makeEnclaveKey() throws -> SecKey {
        let flags: SecAccessControlCreateFlags = access.union(.privateKeyUsage)
        let control = SecAccessControlCreateWithFlags(nil, kSecAttrAccessibleWhenUnlockedThisDeviceOnly, flags, nil)
        guard let control else { throw failed() }
        let privateKey: [CFString: Any] = [
            kSecAttrIsPermanent: true,
            kSecAttrApplicationTag: tag,
            kSecAttrAccessControl: control,
        ]
        let attributes: [CFString: Any] = [
            kSecAttrKeyType: kSecAttrKeyTypeECSECPrimeRandom,
            kSecAttrKeySizeInBits: 256,
            kSecAttrTokenID: kSecAttrTokenIDSecureEnclave,
            kSecUseDataProtectionKeychain: true,
            kSecPrivateKeyAttrs: privateKey,
        ]
        guard let key = SecKeyCreateRandomKey(attributes as CFDictionary, nil) else { throw failed() }
        return key
    }
}

private func check(_ status: OSStatus) throws {
    guard status == errSecSuccess else { throw SealwireError(.store, "storage failed: the keychain") }
}

private func failed() -> SealwireError {
    SealwireError(.store, "storage failed: the enclave")
}
#endif
