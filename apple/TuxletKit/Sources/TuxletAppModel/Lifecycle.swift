import TuxletKit

/// What the lifecycle needs of a machine.
public protocol Suspendable: Sendable {
    func suspend(timeout: Duration) async throws(TuxletError)
    func resume() async throws(TuxletError)
    @discardableResult func trim() -> UInt64
}

extension Machine: Suspendable {}

/// Takes a machine through the life of an app: in the background it holds still, with everything written and no locks held, because the
/// system may end the app there without a word. Transitions happen one after the other, in the order in which they were asked for.
public actor Lifecycle {
    public enum Phase: Hashable, Sendable {
        case active
        case suspended
        /// The machine did not come to rest, or cannot get its store back; the next transition tries again.
        case failed(TuxletError)
    }

    public private(set) var phase = Phase.active
    private let machine: any Suspendable
    private var last: Task<Void, Never>?

    public init(machine: any Suspendable) {
        self.machine = machine
    }

    /// For the background; comes back when the app may be ended. The system grants about five seconds without being asked for more.
    @discardableResult
    public func enterBackground(timeout: Duration = .seconds(3)) async -> Phase {
        await next { machine throws(TuxletError) in
            try await machine.suspend(timeout: timeout)
            return .suspended
        }
    }

    /// For the foreground.
    @discardableResult
    public func enterForeground() async -> Phase {
        await next { machine throws(TuxletError) in
            try await machine.resume()
            return .active
        }
    }

    /// For a memory warning.
    public nonisolated func memoryWarning() -> UInt64 {
        machine.trim()
    }

    private func next(
        _ transition: @escaping @Sendable (any Suspendable) async throws(TuxletError) -> Phase
    ) async -> Phase {
        let before = last
        let task = Task {
            await before?.value
            do throws(TuxletError) {
                phase = try await transition(machine)
            } catch {
                phase = .failed(error)
            }
        }
        last = task
        await task.value
        return phase
    }
}
