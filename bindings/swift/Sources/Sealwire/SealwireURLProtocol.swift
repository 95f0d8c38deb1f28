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
                await tell(unless: isStopped) { $0.urlProtocol(self, didReceive: response, cacheStoragePolicy: .notAllowed) }
                for try await piece in bytes { await tell(unless: isStopped) { $0.urlProtocol(self, didLoad: piece) } }
                await tell(unless: isStopped) { $0.urlProtocolDidFinishLoading(self) }
            } catch {
                await tell(unless: isStopped) { $0.urlProtocol(self, didFailWithError: error) }
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

    private func isStopped() -> Bool {
        lock.lock()
        defer { lock.unlock() }
        return sending?.isCancelled == true
    }
}

extension URLProtocol {
    /// Tells the client, as long as anybody listens. On Linux what it touches of its session is the session's queue's alone, which nothing public names:
    /// elsewhere two requests at once end the process.
    func tell(unless isStopped: @escaping () -> Bool, _ what: @escaping (any URLProtocolClient) -> Void) async {
        guard let client else { return }
        #if canImport(FoundationNetworking)
        if let queue = stored("workQueue", of: stored("session", of: task)) as? DispatchQueue {
            return await withCheckedContinuation { told in
                queue.async {
                    if !isStopped() { what(client) }
                    told.resume()
                }
            }
        }
        #endif
        if !isStopped() { what(client) }
    }
}

/// The property of this name of what `object` holds.
private func stored(_ name: String, of object: Any?) -> Any? {
    guard let object else { return nil }
    var mirror: Mirror? = Mirror(reflecting: object)
    while let here = mirror {
        if here.displayStyle == .optional { return stored(name, of: here.children.first?.value) }
        if let found = here.children.first(where: { $0.label == name }) { return found.value }
        mirror = here.superclassMirror
    }
    return nil
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
