// What Keychain.swift names of Apple's Security and CoreFoundation, typed as their headers are to Swift. It does nothing: `check.sh` compiles against it.
import Foundation

public typealias OSStatus = Int32
public typealias CFTypeRef = AnyObject
public typealias CFTypeID = UInt

public final class CFString: Hashable {
    public static func == (one: CFString, other: CFString) -> Bool { one === other }
    public func hash(into hasher: inout Hasher) {}
}
public final class CFDictionary {}
public final class CFData {}
public final class CFError {}
public final class CFAllocator {}
public final class SecKey {}
public final class SecAccessControl {}

/// `as` converts between these on Apple's platforms alone.
extension Dictionary where Key == CFString, Value == Any {
    public var asCFDictionary: CFDictionary { CFDictionary() }
}
extension Data {
    public var asCFData: CFData { CFData() }
}
extension CFData {
    public var asData: Data { Data() }
}

public func CFGetTypeID(_ object: CFTypeRef!) -> CFTypeID { 0 }

public let errSecSuccess: OSStatus = 0
public let errSecDuplicateItem: OSStatus = -25299
public let errSecItemNotFound: OSStatus = -25300

public let kSecClass = CFString()
public let kSecClassGenericPassword = CFString()
public let kSecClassKey = CFString()
public let kSecAttrService = CFString()
public let kSecAttrAccount = CFString()
public let kSecAttrAccessGroup = CFString()
public let kSecAttrAccessible = CFString()
public let kSecAttrAccessibleWhenUnlockedThisDeviceOnly = CFString()
public let kSecAttrAccessControl = CFString()
public let kSecAttrApplicationTag = CFString()
public let kSecAttrIsPermanent = CFString()
public let kSecAttrKeyClass = CFString()
public let kSecAttrKeyClassPrivate = CFString()
public let kSecAttrKeySizeInBits = CFString()
public let kSecAttrKeyType = CFString()
public let kSecAttrKeyTypeECSECPrimeRandom = CFString()
public let kSecAttrTokenID = CFString()
public let kSecAttrTokenIDSecureEnclave = CFString()
public let kSecMatchLimit = CFString()
public let kSecMatchLimitOne = CFString()
public let kSecPrivateKeyAttrs = CFString()
public let kSecReturnData = CFString()
public let kSecReturnRef = CFString()
public let kSecUseDataProtectionKeychain = CFString()
public let kSecValueData = CFString()

public func SecItemAdd(_ attributes: CFDictionary, _ result: UnsafeMutablePointer<CFTypeRef?>?) -> OSStatus { 0 }
public func SecItemCopyMatching(_ query: CFDictionary, _ result: UnsafeMutablePointer<CFTypeRef?>?) -> OSStatus { 0 }
public func SecItemUpdate(_ query: CFDictionary, _ attributesToUpdate: CFDictionary) -> OSStatus { 0 }
public func SecItemDelete(_ query: CFDictionary) -> OSStatus { 0 }

public struct SecKeyAlgorithm: RawRepresentable, Hashable, @unchecked Sendable {
    public let rawValue: CFString
    public init(rawValue: CFString) { self.rawValue = rawValue }
    public static let eciesEncryptionCofactorVariableIVX963SHA256AESGCM = SecKeyAlgorithm(rawValue: CFString())
}

public struct SecAccessControlCreateFlags: OptionSet, Sendable {
    public let rawValue: UInt
    public init(rawValue: UInt) { self.rawValue = rawValue }
    public static let userPresence = SecAccessControlCreateFlags(rawValue: 1 << 0)
    public static let biometryCurrentSet = SecAccessControlCreateFlags(rawValue: 1 << 3)
    public static let privateKeyUsage = SecAccessControlCreateFlags(rawValue: 1 << 30)
}

public typealias ErrorPointer = UnsafeMutablePointer<Unmanaged<CFError>?>?

public func SecAccessControlCreateWithFlags(
    _ allocator: CFAllocator?,
    _ protection: CFTypeRef,
    _ flags: SecAccessControlCreateFlags,
    _ error: ErrorPointer
) -> SecAccessControl? { nil }
public func SecKeyGetTypeID() -> CFTypeID { 0 }
public func SecKeyCreateRandomKey(_ parameters: CFDictionary, _ error: ErrorPointer) -> SecKey? { nil }
public func SecKeyCopyPublicKey(_ key: SecKey) -> SecKey? { nil }
public func SecKeyCreateEncryptedData(_ key: SecKey, _ algorithm: SecKeyAlgorithm, _ plaintext: CFData, _ error: ErrorPointer) -> CFData? { nil }
public func SecKeyCreateDecryptedData(_ key: SecKey, _ algorithm: SecKeyAlgorithm, _ ciphertext: CFData, _ error: ErrorPointer) -> CFData? { nil }
