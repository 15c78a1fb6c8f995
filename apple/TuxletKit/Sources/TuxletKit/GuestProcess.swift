import CTuxlet

/// A running program. Letting go of it leaves the program running; nobody learns its status then.
public final class GuestProcess: Sendable {
    let handle: Handle
    /// Process id in the machine.
    public let pid: UInt32
    /// What it prints, or what its terminal shows.
    public let output: ByteStream
    /// What it prints to its standard error output, if that is a pipe of its own.
    public let errorOutput: ByteStream

    init(_ pointer: OpaquePointer) {
        handle = Handle(pointer) { tux_process_free($0) }
        pid = tux_process_pid(pointer)
        output = ByteStream(process: handle, stream: TUX_STDOUT)
        errorOutput = ByteStream(process: handle, stream: TUX_STDERR)
    }

    /// Waits for the end. Any number of tasks may, and again afterwards. A task that is cancelled does not wait any longer; the program goes on.
    public func wait() async throws(TuxletError) -> ExitStatus {
        let handle = handle
        return try await repeatedly { () throws(TuxletError) -> ExitStatus? in
            try ended(handle, within: Self.patience)
        }
    }

    /// Waits for the end, at most so long; nil if the program still runs.
    public func wait(timeout: Duration) async throws(TuxletError) -> ExitStatus? {
        let handle = handle
        let clock = ContinuousClock()
        let deadline = clock.now.advanced(by: timeout)
        return try await repeatedly { () throws(TuxletError) -> ExitStatus?? in
            let left = clock.now.duration(to: deadline).milliseconds
            if let status = try ended(handle, within: min(left, Self.patience)) { return status }
            return left <= Self.patience && clock.now >= deadline ? .some(nil) : nil
        }
    }

    /// Milliseconds after which a thread looks whether anybody still wants to know.
    private static let patience: UInt64 = 250

    /// Sends a signal to the program.
    public func kill(_ signal: Signal = .terminate) throws(TuxletError) {
        try check { tux_process_kill(handle.pointer, signal.rawValue, $0) }
    }

    /// Sends a signal to the program and what it has started, except for what has made a process group of its own.
    public func killGroup(_ signal: Signal = .kill) throws(TuxletError) {
        try check { tux_process_kill_group(handle.pointer, signal.rawValue, $0) }
    }

    /// Writes to its standard input, or types; waits until the program has made room for all. Cancelling the task closes a pipe.
    public func write(_ bytes: [UInt8]) async throws(TuxletError) {
        let handle = handle
        do throws(TuxletError) {
            try await offload(onCancel: { tux_process_close(handle.pointer, Int32(TUX_STDIN.rawValue), nil) }) {
                () throws(TuxletError) in
                try check { tux_process_write(handle.pointer, bytes, bytes.count, $0) }
            }
        } catch {
            if case .closed = error, Task.isCancelled { throw .cancelled }
            throw error
        }
    }

    /// As ``write(_:)-([UInt8])``.
    public func write(_ text: String) async throws(TuxletError) {
        try await write(Array(text.utf8))
    }

    /// Ends its standard input.
    public func closeInput() throws(TuxletError) {
        try check { tux_process_close(handle.pointer, Int32(TUX_STDIN.rawValue), $0) }
    }

    /// Tells the program that its terminal has another size.
    public func resize(_ size: TerminalSize) throws(TuxletError) {
        try check { tux_process_resize(handle.pointer, size.rows, size.columns, $0) }
    }

    /// Hangs its terminal up: the program gets SIGHUP, and the output ends.
    public func hangUp() throws(TuxletError) {
        try check { tux_process_close(handle.pointer, Int32(TUX_STDOUT.rawValue), $0) }
    }

    /// Lets the outputs end after what has been printed so far, even if a program in the background has them open.
    public func finishOutput() throws(TuxletError) {
        try check { tux_process_finish(handle.pointer, $0) }
    }
}

/// The status, if the process ends in time.
private func ended(_ handle: Handle, within milliseconds: UInt64) throws(TuxletError) -> ExitStatus? {
    var status = tux_status()
    guard try inTime({ tux_process_wait(handle.pointer, milliseconds, &status, $0) }) else { return nil }
    let signal = status.signal == 0 ? nil : Signal(rawValue: status.signal)
    return ExitStatus(code: status.code, signal: signal)
}
