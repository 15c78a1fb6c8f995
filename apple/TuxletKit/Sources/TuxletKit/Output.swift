/// How a program ended and what it printed.
public struct Output: Hashable, Sendable {
    /// Process id that it had.
    public let pid: UInt32
    public let status: ExitStatus
    public let output: [UInt8]
    public let errorOutput: [UInt8]
    /// It was killed because its time was over.
    public let timedOut: Bool
    /// It printed more than was kept.
    public let truncated: Bool
    /// Time from start to end.
    public let duration: Duration

    /// The output as text; what is not UTF-8 is replaced.
    public var text: String { String(decoding: output, as: UTF8.self) }
    /// The error output as text.
    public var errorText: String { String(decoding: errorOutput, as: UTF8.self) }
}

extension Machine {
    /// Runs a program to its end. Its streams are pipes, whatever the command says, but for an error output that leads to the output. After
    /// `timeout`, and when the task is cancelled, it and what it has started in its process group are killed. What programs in the background
    /// print after its end is not waited for.
    public func run(
        _ command: Command, input: [UInt8] = [], timeout: Duration? = nil, limit: Int = 16 << 20
    ) async throws(TuxletError) -> Output {
        var command = command
        command.terminal = nil
        command.input = input.isEmpty ? .null : .pipe
        command.output = .pipe
        if command.errorOutput == .null { command.errorOutput = .pipe }
        let clock = ContinuousClock()
        let start = clock.now
        let process = try await exec(command)
        async let written: Void = feed(process, input)
        async let output = collected(process.output, limit)
        async let errors = collected(command.errorOutput == .pipe ? process.errorOutput : nil, limit)
        let ended: Result<(ExitStatus, Bool), TuxletError>
        do throws(TuxletError) {
            ended = .success(try await waitOrKill(process, timeout))
        } catch {
            // It may have ended meanwhile.
            try? process.killGroup()
            ended = .failure(error)
        }
        // Whoever is left in the background is neither listened to nor fed.
        try? process.finishOutput()
        let (kept, keptErrors) = (await output, await errors)
        try? process.closeInput()
        await written
        let (status, timedOut) = try ended.get()
        return Output(
            pid: process.pid, status: status, output: kept.bytes, errorOutput: keptErrors.bytes, timedOut: timedOut,
            truncated: kept.truncated || keptErrors.truncated, duration: start.duration(to: clock.now))
    }
}

private func feed(_ process: GuestProcess, _ input: [UInt8]) async {
    if input.isEmpty { return }
    // That the pipe breaks because the program does not want all of the input is no news.
    try? await process.write(input)
    try? process.closeInput()
}

private func collected(_ stream: ByteStream?, _ limit: Int) async -> (bytes: [UInt8], truncated: Bool) {
    // It fails when the task is cancelled, and then nobody looks at it.
    (try? await stream?.collect(limit: limit)) ?? ([], false)
}

private func waitOrKill(_ process: GuestProcess, _ timeout: Duration?) async throws(TuxletError) -> (ExitStatus, Bool) {
    guard let timeout else { return (try await process.wait(), false) }
    if let status = try await process.wait(timeout: timeout) { return (status, false) }
    try? process.killGroup()
    return (try await process.wait(), true)
}
