import Foundation
import SealwireRaw

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

extension URLRequest {
    /// Signs it with a device's key, so that a gateway can tell whose it is without reading it: HTTP Message Signatures (RFC 9421, Ed25519) and
    /// Content-Digest (RFC 9530).
    ///
    /// Covered are method, authority, path, query and body, and of the fields those that say what the request is or in whose name: `content-type`,
    /// `content-encoding`, `content-digest`, `authorization`, `cookie`, `sealwire-exchange` and `sealwire-exchange-head`, each if it is there. **Other
    /// fields are not**, unless `cover` names them. Valid for 300 s, with a nonce of its own. Cookies that the platform adds are not seen here, and a
    /// verifier then refuses: set `httpShouldHandleCookies` to false. Source: SPEC "Origin".
    ///
    /// Throws `Misuse` for a request without a URL or with a stream as its body, and `Malformed` for fields that two readers could understand differently.
    ///
    /// ```swift
    /// let (_, response) = try await URLSession.shared.data(for: request.signed(by: alice))
    /// ```
    public func signed(by identity: Identity, cover: [String] = []) throws -> URLRequest {
        guard let url = url?.absoluteURL, let parts = originAndTarget(url), httpBodyStream == nil else {
            throw SealwireError(.misuse, "misuse: a request that is signed has a URL and a whole body")
        }
        let unsigned = SealwireRaw.Unsigned(
            method: httpMethod ?? "GET",
            origin: parts.origin,
            pathAndQuery: parts.target,
            fields: (allHTTPHeaderFields ?? [:]).map { SealwireRaw.Field(name: $0.key, value: Data($0.value.utf8)) }
        )
        let fields = try crossing {
            let body = try lent(httpBody ?? Data())
            return try SealwireRaw.signRequest(request: unsigned, identity: identity.raw, cover: cover, body: body, now: now())
        }
        var signed = self
        for field in fields where ["content-digest", "signature-input", "signature"].contains(field.name) {
            signed.setValue(String(decoding: field.value, as: UTF8.self), forHTTPHeaderField: field.name)
        }
        return signed
    }
}

/// Origin and path with query, as they are sent: an empty query keeps its question mark.
private func originAndTarget(_ url: URL) -> (origin: String, target: String)? {
    let text = url.absoluteString.prefix { $0 != "#" }
    guard let scheme = text.range(of: "://") else { return nil }
    let end = text[scheme.upperBound...].firstIndex { $0 == "/" || $0 == "?" } ?? text.endIndex
    let target = String(text[end...])
    return (String(text[..<end]), target.hasPrefix("/") ? target : "/" + target)
}
