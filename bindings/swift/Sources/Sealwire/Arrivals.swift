import Foundation

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// The tasks of a session, and what arrives of each.
final class ArrivingTasks: NSObject, URLSessionDataDelegate, @unchecked Sendable {
    private let lock = NSLock()
    private var arriving: [Int: Arrivals] = [:]

    func start(_ task: URLSessionDataTask) -> Arrivals {
        let arrivals = Arrivals(task)
        lock.lock()
        arriving[task.taskIdentifier] = arrivals
        lock.unlock()
        task.resume()
        return arrivals
    }

    private func arrivals(of task: URLSessionTask) -> Arrivals? {
        lock.lock()
        defer { lock.unlock() }
        return arriving[task.taskIdentifier]
    }

    /// Never followed: the answer is the redirect itself, which nothing protects.
    func urlSession(
        _ session: URLSession,
        task: URLSessionTask,
        willPerformHTTPRedirection response: HTTPURLResponse,
        newRequest request: URLRequest,
        completionHandler: @escaping (URLRequest?) -> Void
    ) {
        completionHandler(nil)
    }

    func urlSession(
        _ session: URLSession,
        dataTask: URLSessionDataTask,
        didReceive response: URLResponse,
        completionHandler: @escaping (URLSession.ResponseDisposition) -> Void
    ) {
        arrivals(of: dataTask)?.arrived(response)
        completionHandler(.allow)
    }

    func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
        arrivals(of: dataTask)?.arrived(data)
    }

    func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: Error?) {
        let ended = arrivals(of: task)
        lock.lock()
        arriving[task.taskIdentifier] = nil
        lock.unlock()
        ended?.ended(error)
    }
}

/// An answer while it arrives: its head, its pieces, its end. Whoever reads slowly is not sent more than a few MiB ahead,
/// where the platform can wait: on Linux a suspended task goes on.
final class Arrivals: @unchecked Sendable {
    private enum Arrival: Sendable {
        case piece(Data)
        case end
    }

    private let task: URLSessionTask
    private let heads: AsyncThrowingStream<HTTPURLResponse, Error>.Continuation
    private let pieces: AsyncThrowingStream<Arrival, Error>.Continuation
    private var headArrivals: AsyncThrowingStream<HTTPURLResponse, Error>.Iterator
    private var pieceArrivals: AsyncThrowingStream<Arrival, Error>.Iterator
    private var known: HTTPURLResponse?
    private let lock = NSLock()
    private var ahead = 0
    private var isSuspended = false

    init(_ task: URLSessionTask) {
        self.task = task
        let (headStream, heads) = AsyncThrowingStream.makeStream(of: HTTPURLResponse.self, throwing: Error.self)
        let (pieceStream, pieces) = AsyncThrowingStream.makeStream(of: Arrival.self, throwing: Error.self)
        self.heads = heads
        self.pieces = pieces
        headArrivals = headStream.makeAsyncIterator()
        pieceArrivals = pieceStream.makeAsyncIterator()
        // Whoever waits was cancelled: so is what they wait for.
        heads.onTermination = { end in
            if case .cancelled = end { task.cancel() }
        }
        pieces.onTermination = { end in
            if case .cancelled = end { task.cancel() }
        }
    }

    /// The head, however often it is asked for.
    func head() async throws -> HTTPURLResponse {
        if let known { return known }
        guard let head = try await headArrivals.next() else { throw brokenOff() }
        known = head
        return head
    }

    /// The next piece; nothing at the end. An end that is not told is none.
    func piece() async throws -> Data? {
        switch try await pieceArrivals.next() {
        case .none: throw brokenOff()
        case .some(.end): return nil
        case .some(.piece(let data)):
            taken(data.count)
            return data
        }
    }

    func cancel() {
        task.cancel()
    }

    func arrived(_ response: URLResponse) {
        guard let response = response as? HTTPURLResponse else { return task.cancel() }
        heads.yield(response)
        heads.finish()
    }

    func arrived(_ data: Data) {
        lock.lock()
        ahead += data.count
        let suspends = ahead > 4 << 20 && !isSuspended
        if suspends { isSuspended = true }
        lock.unlock()
        pieces.yield(.piece(data))
        if suspends { task.suspend() }
    }

    func ended(_ error: Error?) {
        if error == nil { pieces.yield(.end) }
        let failure = error.map { networkError($0) }
        heads.finish(throwing: failure)
        pieces.finish(throwing: failure)
    }

    private func taken(_ count: Int) {
        lock.lock()
        ahead -= count
        let resumes = isSuspended && ahead < 1 << 20
        if resumes { isSuspended = false }
        lock.unlock()
        if resumes { task.resume() }
    }
}

private func brokenOff() -> Error {
    Task.isCancelled ? CancellationError() : SealwireError(.network, "network failed: the connection broke")
}

private func networkError(_ error: Error) -> Error {
    switch (error as? URLError)?.code {
    case .some(.timedOut): return SealwireError(.network, "network failed: timed out")
    case .some(.cannotConnectToHost), .some(.cannotFindHost), .some(.notConnectedToInternet), .some(.dnsLookupFailed):
        return SealwireError(.network, "network failed: no connection")
    case .some(.cancelled): return CancellationError()
    // The other side may have read all of it, and fallen over after it had done what was asked.
    default: return SealwireError(.network, "network failed: no answer came, and the request may have been carried out")
    }
}
