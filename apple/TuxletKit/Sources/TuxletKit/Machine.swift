import CTuxlet

/// A Linux. It ends, and its programs with it, with the last reference to it and to its processes.
public final class Machine: Sendable {
    let handle: Handle

    private init(_ pointer: OpaquePointer) {
        handle = Handle(pointer) { tux_machine_free($0) }
    }

    /// Makes a machine.
    public static func start(_ configuration: Configuration) async throws(TuxletError) -> Machine {
        try await offload { () throws(TuxletError) in
            let builder = try configuration.make()
            var machine: OpaquePointer?
            try check { tux_builder_build(builder, &machine, $0) }
            return Machine(machine!)
        }
    }

    /// The library's version.
    public static var version: String {
        String(cString: tux_version())
    }

    /// Starts a program.
    public func exec(_ command: Command) async throws(TuxletError) -> GuestProcess {
        try await call { (machine) throws(TuxletError) in
            let command = try command.make()
            var process: OpaquePointer?
            try check { tux_exec(machine, command, &process, $0) }
            return GuestProcess(process!)
        }
    }

    /// Sends a signal to any process.
    public func kill(_ pid: UInt32, _ signal: Signal = .terminate) throws(TuxletError) {
        try check { tux_machine_kill(handle.pointer, pid, signal.rawValue, $0) }
    }

    /// Kills every process; those that start meanwhile may survive.
    public func killAll() throws(TuxletError) {
        try check { tux_machine_kill_all(handle.pointer, $0) }
    }

    /// Makes everything that was written durable.
    public func sync() async throws(TuxletError) {
        try await call { (machine) throws(TuxletError) in try check { tux_machine_sync(machine, $0) } }
    }

    /// For an app that goes to the background: holds all threads of the machine still, makes everything durable and releases the stores'
    /// locks. Throws, and the machine goes on, if a thread does not come to rest in time.
    public func suspend(timeout: Duration = .seconds(3)) async throws(TuxletError) {
        try await call { (machine) throws(TuxletError) in
            try check { tux_machine_suspend(machine, timeout.milliseconds, $0) }
        }
    }

    /// The way back from ``suspend(timeout:)``.
    public func resume() async throws(TuxletError) {
        try await call { (machine) throws(TuxletError) in try check { tux_machine_resume(machine, $0) } }
    }

    /// What a machine uses.
    public struct Statistics: Hashable, Sendable {
        public let processes: UInt64
        public let threads: UInt64
        /// Bytes, of processes and file systems in memory.
        public let memory: UInt64
        public let memoryLimit: UInt64
    }

    /// What the machine uses now.
    public func statistics() throws(TuxletError) -> Statistics {
        var stats = tux_stats()
        try check { tux_machine_stats(handle.pointer, &stats, $0) }
        return Statistics(
            processes: stats.processes, threads: stats.threads, memory: stats.memory, memoryLimit: stats.memory_limit)
    }

    /// Gives back memory that holds nothing but copies of files, for a host that runs short itself; how many bytes.
    @discardableResult
    public func trim() -> UInt64 {
        tux_machine_trim(handle.pointer)
    }

    /// Records what happens to the files of the machine from now on; at most so many changes wait to be read.
    public func trackChanges(capacity: Int = 1024) throws(TuxletError) -> FileChanges {
        var changes: OpaquePointer?
        try check { tux_track_changes(handle.pointer, max(capacity, 1), &changes, $0) }
        return FileChanges(handle: Handle(changes!) { tux_changes_free($0) })
    }

    /// Runs a call that may wait for disks.
    func call<T: Sendable>(
        _ body: @escaping @Sendable (OpaquePointer) throws(TuxletError) -> T
    ) async throws(TuxletError) -> T {
        let handle = handle
        return try await offload { () throws(TuxletError) in try body(handle.pointer) }
    }
}
