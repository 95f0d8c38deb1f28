import Foundation

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// Seals what other people's code sends: a `URLProtocol` for sessions that you configure, and do not call yourself.
///
/// It takes the requests to the origins that a policy's rules name; what they do not cover there fails with `Misuse`. Errors are a ``SealwireError``, under
/// `NSUnderlyingErrorKey` where the platform wraps them. Where you call, call ``SealedSession``: it says who wrote what came.
///
/// ```swift
/// SealwireURLProtocol.use(session)
/// let configuration = URLSessionConfiguration.default
/// configuration.protocolClasses = [SealwireURLProtocol.self]
/// ```
public final class SealwireURLProtocol: URLProtocol, @unchecked Sendable {
    private static let sessions = Sessions()
    private let lock = NSLock()
    private var sending: Task<Void, Never>?

    /// Sends by `session` what goes to the origins of its rules, from now on and in the whole process.
    public static func use(_ session: SealedSession) {
        sessions.add(session)
    }

    /// Sends nothing by it any more.
    public static func forget(_ session: SealedSession) {
        sessions.remove(session)
    }

    public override class func canInit(with request: URLRequest) -> Bool {
        sessions.session(for: request) != nil
    }

    public override class func canonicalRequest(for request: URLRequest) -> URLRequest {
        request
    }

    public override func startLoading() {
        let session = SealwireURLProtocol.sessions.session(for: request)
        let task = Task { [self] in
            do {
                guard let session else { throw SealwireError(.misuse, "misuse: no session is used for this origin") }
                let (bytes, response) = try await session.bytes(for: request)
                client?.urlProtocol(self, didReceive: response, cacheStoragePolicy: .notAllowed)
                for try await piece in bytes { client?.urlProtocol(self, didLoad: piece) }
                client?.urlProtocolDidFinishLoading(self)
            } catch {
                client?.urlProtocol(self, didFailWithError: error)
            }
        }
        lock.lock()
        sending = task
        lock.unlock()
    }

    public override func stopLoading() {
        lock.lock()
        defer { lock.unlock() }
        sending?.cancel()
    }
}

private final class Sessions: @unchecked Sendable {
    private let lock = NSLock()
    private var sessions: [SealedSession] = []

    func add(_ session: SealedSession) {
        lock.lock()
        defer { lock.unlock() }
        sessions.append(session)
    }

    func remove(_ session: SealedSession) {
        lock.lock()
        defer { lock.unlock() }
        sessions.removeAll { $0 === session }
    }

    func session(for request: URLRequest) -> SealedSession? {
        guard let origin = request.url.flatMap(origin(of:)) else { return nil }
        lock.lock()
        defer { lock.unlock() }
        return sessions.last { $0.origins.contains(origin) }
    }
}

private func origin(of url: URL) -> String? {
    guard let scheme = url.scheme?.lowercased(), let host = url.host?.lowercased() else { return nil }
    let name = host.contains(":") && !host.hasPrefix("[") ? "[\(host)]" : host
    switch (scheme, url.port) {
    case (_, nil), ("https", 443), ("http", 80): return "\(scheme)://\(name)"
    case (_, let port?): return "\(scheme)://\(name):\(port)"
    }
}
