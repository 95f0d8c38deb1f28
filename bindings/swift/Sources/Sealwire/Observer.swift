import Foundation
import SealwireRaw

/// One thing that was done. Every value is one of few, so that nothing of a request can be told from it.
public struct SealwireEvent: Sendable, Hashable {
    /// `call`, `keys`, `verify`, `open` or `serve`.
    public let operation: String
    /// `ok`, an error's code, or `app`.
    public let code: String
    /// `envelope`, `exchange`, `signature`, several of them joined by `+`, or `none`.
    public let protection: String
    /// The size of the request's body, rounded up to a power of four bytes; 0 if there is none or it is a stream.
    public let size: UInt64
    /// How long it took, in seconds.
    public let duration: TimeInterval
    /// Which of the service's keys was used.
    public let keyID: UInt8?
}

/// An audit log, an exporter of metrics. It is called while the request waits, so it is quick.
public protocol Observer: Sendable {
    func event(_ event: SealwireEvent)
}

final class OutsideObserver: SealwireRaw.Observer {
    private let inner: any Observer

    init(_ inner: any Observer) {
        self.inner = inner
    }

    func event(event: SealwireRaw.Event) throws {
        inner.event(
            SealwireEvent(
                operation: event.operation,
                code: event.code,
                protection: event.protection,
                size: event.size,
                duration: Double(event.micros) / 1_000_000,
                keyID: event.keyId
            )
        )
    }
}
