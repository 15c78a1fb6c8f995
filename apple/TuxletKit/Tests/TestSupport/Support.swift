import Foundation
import TuxletKit

/// The program that stands for `/bin/sh`, which `cargo test -p tuxlet-ffi --test swift` names.
public let guestShell = ProcessInfo.processInfo.environment["TUXLET_GUEST_SH"]

/// A directory with an unpacked Alpine, if there is one.
public let alpineRoot = ProcessInfo.processInfo.environment["TUXLET_ALPINE_ROOT"]

/// A machine in memory with the guest's shell.
public func startMachine(_ change: (inout Configuration) -> Void = { _ in }) async throws -> Machine {
    var configuration = Configuration(root: .memory)
    change(&configuration)
    let machine = try await Machine.start(configuration)
    guard let path = guestShell else { throw NoGuest() }
    let shell = try Data(contentsOf: URL(fileURLWithPath: path))
    try await machine.writeFile("/bin/sh", Array(shell), mode: 0o755)
    return machine
}

/// What several threads write, for tests.
public final class Record<T: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var all: [T] = []

    public init() {}

    public func append(_ value: T) {
        lock.withLock { all.append(value) }
    }

    public var values: [T] {
        lock.withLock { all }
    }
}

/// Whether a stream had been closed.
public func isClosed(_ error: any Error) -> Bool {
    guard case .closed? = error as? TuxletError else { return false }
    return true
}

/// TUXLET_GUEST_SH names no guest's shell.
public struct NoGuest: Error {}
