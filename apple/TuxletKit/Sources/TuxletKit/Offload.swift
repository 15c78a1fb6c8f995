import Dispatch
import Foundation

/// A handle of the library, freed with the last reference to it. Only for functions that any thread may call.
final class Handle: @unchecked Sendable {
    let pointer: OpaquePointer
    private let free: @Sendable (OpaquePointer) -> Void

    init(_ pointer: OpaquePointer, free: @escaping @Sendable (OpaquePointer) -> Void) {
        self.pointer = pointer
        self.free = free
    }

    deinit {
        free(pointer)
    }
}

/// The outcome of `body`.
func outcome<T>(_ body: () throws(TuxletError) -> T) -> Result<T, TuxletError> {
    do throws(TuxletError) {
        return .success(try body())
    } catch {
        return .failure(error)
    }
}

/// Runs a call that blocks on a thread of its own: Swift's concurrency has only as many threads as there are processors. `onCancel` makes
/// the call come back when the task is cancelled.
func offload<T: Sendable>(
    onCancel: @escaping @Sendable () -> Void = {},
    _ body: @escaping @Sendable () throws(TuxletError) -> T
) async throws(TuxletError) -> T {
    let result = await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
            // A serial queue gets a thread even if all others wait.
            DispatchQueue(label: "tuxlet").async { continuation.resume(returning: outcome(body)) }
        }
    } onCancel: {
        onCancel()
    }
    return try result.get()
}

/// A result that one task waits for.
private final class Promise<T: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var result: Result<T, TuxletError>?
    private var continuation: CheckedContinuation<Result<T, TuxletError>, Never>?

    /// Whether there is a result.
    var isKept: Bool {
        lock.withLock { result != nil }
    }

    /// The first result counts.
    func keep(_ result: Result<T, TuxletError>) {
        let continuation = lock.withLock {
            guard self.result == nil else { return nil as CheckedContinuation<Result<T, TuxletError>, Never>? }
            self.result = result
            defer { self.continuation = nil }
            return self.continuation
        }
        continuation?.resume(returning: result)
    }

    func value() async -> Result<T, TuxletError> {
        await withCheckedContinuation { continuation in
            let result = lock.withLock {
                if self.result == nil { self.continuation = continuation }
                return self.result
            }
            if let result { continuation.resume(returning: result) }
        }
    }
}

/// Repeats a call that blocks for a limited time until it gives something. A task that is cancelled does not wait for that.
func repeatedly<T: Sendable>(_ body: @escaping @Sendable () throws(TuxletError) -> T?) async throws(TuxletError) -> T {
    let promise = Promise<T>()
    DispatchQueue(label: "tuxlet").async {
        while !promise.isKept {
            switch outcome(body) {
            case .success(nil): continue
            case .success(let value?): promise.keep(.success(value))
            case .failure(let error): promise.keep(.failure(error))
            }
        }
    }
    let result = await withTaskCancellationHandler {
        await promise.value()
    } onCancel: {
        promise.keep(.failure(.cancelled))
    }
    return try result.get()
}

extension Duration {
    /// Whole milliseconds, rounded up; never negative.
    var milliseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1000)
        return overflow ? .max - 1 : whole + UInt64((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }
}
