import Foundation

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// Seals what other people's code sends: a `URLProtocol` for sessions that you configure, and do not call yourself.
///
/// It takes the requests to the origins that a policy's rules name; what they do not cover there fails with `Misuse`. Errors are a ``SealwireError``, under
/// `NSUnderlyingErrorKey` where the platform wraps them. Where you call, call ``SealedSession``: it says who wrote what came.
///
/// On Linux it depends on what Foundation calls the queue of a task, which nothing public gives: with a Foundation that calls it otherwise every request
/// fails with `Unsupported`.
///
/// ```swift
/// SealwireURLProtocol.use(session)
/// let configuration = URLSessionConfiguration.default
/// configuration.protocolClasses = [SealwireURLProtocol.self]
/// ```
public final class SealwireURLProtocol: URLProtocol, @unchecked Sendable {
    private static let sessions = Sessions()
    private let loading = Loading()

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
        let (session, request) = (SealwireURLProtocol.sessions.session(for: self.request), self.request)
        loading.start(self) {
            guard let session else { throw SealwireError(.misuse, "misuse: no session is used for this origin") }
            return try await session.bytes(for: request)
        }
    }

    public override func stopLoading() {
        loading.stop()
    }
}

/// What a `URLProtocol` tells its client, as long as anybody listens.
///
/// On Linux what the client touches of its session is the task's own queue's alone, which nothing public names: elsewhere two requests at once end the
/// process. So it is looked up by its private name, and where it is not found nothing is sent: `startLoading`, on that queue, can still tell the failure.
final class Loading: @unchecked Sendable {
    private let lock = NSLock()
    private var task: Task<Void, Never>?

    /// In `startLoading`, and there alone.
    func start<Body: AsyncSequence>(_ loaded: URLProtocol, _ answer: @escaping () async throws -> (Body, HTTPURLResponse)) where Body.Element == Data {
        guard let client = loaded.client else { return }
        #if canImport(FoundationNetworking)
        guard let queue = stored("workQueue", of: loaded.task) as? DispatchQueue else {
            let unknown = SealwireError(.unsupported, "not supported by this version: the URLSession of this Foundation")
            return client.urlProtocol(loaded, didFailWithError: unknown)
        }
        #endif
        let tell = { [self] (what: @escaping () -> Void) async -> Void in
            #if canImport(FoundationNetworking)
            await withCheckedContinuation { (told: CheckedContinuation<Void, Never>) in
                queue.async { [self] in
                    if !isStopped { what() }
                    told.resume()
                }
            }
            #else
            if !isStopped { what() }
            #endif
        }
        let task = Task {
            do {
                let (body, response) = try await answer()
                await tell { client.urlProtocol(loaded, didReceive: response, cacheStoragePolicy: .notAllowed) }
                for try await piece in body { await tell { client.urlProtocol(loaded, didLoad: piece) } }
                await tell { client.urlProtocolDidFinishLoading(loaded) }
            } catch {
                await tell { client.urlProtocol(loaded, didFailWithError: error) }
            }
        }
        lock.lock()
        defer { lock.unlock() }
        self.task = task
    }

    func stop() {
        lock.lock()
        defer { lock.unlock() }
        task?.cancel()
    }

    private var isStopped: Bool {
        lock.lock()
        defer { lock.unlock() }
        return task?.isCancelled == true
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
