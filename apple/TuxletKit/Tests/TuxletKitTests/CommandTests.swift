import TestSupport
import Testing
import TuxletKit

@Suite struct CommandTests {
    @Test func outputStatusEnvironmentDirectoryAndUser() async throws {
        let machine = try await startMachine { $0.environment["X"] = "of all" }
        var command = Command.shell("pwd;id;env X;env Y;warn y;exit 3")
        command.environment["Y"] = "own"
        command.workingDirectory = "/bin"
        command.user = "7:8"
        let output = try await machine.run(command)
        #expect(output.text == "/bin\n7 8\nof all\nown\n")
        #expect(output.errorText == "y\n")
        #expect(output.status == ExitStatus(code: 3, signal: nil))
        #expect(!output.timedOut && !output.truncated && output.pid > 0)

        command = .shell("echo a;warn b;echo c;kill 15")
        command.errorOutput = .output
        let merged = try await machine.run(command)
        #expect(merged.text == "a\nb\nc\n" && merged.errorOutput.isEmpty)
        #expect(merged.status == ExitStatus(code: 143, signal: .terminate))
    }

    @Test func muchGoesBothWaysAndLimitsHold() async throws {
        let machine = try await startMachine()
        let input = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let all = try await machine.run(.shell("cat"), input: input)
        #expect(all.output == input)
        let cut = try await machine.run(.shell("flood 1000000"), limit: 10)
        #expect(cut.text == "xxxxxxxxxx" && cut.truncated)
    }

    @Test func timeoutsKillAndKeepWhatWasPrinted() async throws {
        let machine = try await startMachine()
        let output = try await machine.run(.shell("echo before;hang"), timeout: .milliseconds(500))
        #expect(output.timedOut && output.status.signal == .kill)
        #expect(output.duration >= .milliseconds(500))
        // The shell may not have come that far on a busy host.
        #expect(output.text == "before\n" || output.text.isEmpty)
        // What it leaves behind has the streams open, and nobody waits for that.
        let left = try await machine.run(.shell("daemon;echo done"), input: Array("unread".utf8))
        #expect(left.text == "done\n" && left.status.isSuccess)
        #expect(try machine.statistics().processes == 1)
    }

    @Test func cancellingATaskKillsItsProgram() async throws {
        let machine = try await startMachine()
        let changes = try machine.trackChanges()
        let task = Task { try await machine.run(.shell("write /started x;hang")) }
        for try await change in changes where change.path == "/started" && change.kind == .written { break }
        task.cancel()
        await #expect(throws: TuxletError.cancelled) { try await task.value }
        // It is the only one: all others could be started and ended meanwhile.
        while try machine.statistics().processes != 0 { await Task.yield() }
    }

    @Test func streamsGoBothWays() async throws {
        let machine = try await startMachine()
        var command = Command.shell("lines")
        command.input = .pipe
        let process = try await machine.exec(command)
        var lines = process.output.lines.makeAsyncIterator()
        try await process.write("häl")
        try await process.write("lo\nwo")
        #expect(try await lines.next()?.hasSuffix("LLO") == true)
        try await process.write("rld\n")
        #expect(try await lines.next() == "WORLD")
        #expect(try await process.wait(timeout: .zero) == nil)
        try process.closeInput()
        #expect(try await lines.next() == nil)
        #expect(try await process.wait().isSuccess)
        #expect(try await process.wait(timeout: .seconds(1000))?.code == 0)
        await #expect(throws: TuxletError.self) { try await process.write("late") }
        #expect { try process.closeInput() } throws: { isClosed($0) }
        #expect { try process.kill() } throws: { ($0 as? TuxletError)?.errno == .ESRCH }
    }

    @Test func cancellingReadersAndWritersAndWaitersLetsThemGo() async throws {
        let machine = try await startMachine()
        var command = Command.shell("hang")
        command.input = .pipe
        let process = try await machine.exec(command)
        let reader = Task { for try await _ in process.output {} }
        let writer = Task { try await process.write([UInt8](repeating: 0, count: 1 << 20)) }
        let waiter = Task { try await process.wait() }
        reader.cancel()
        writer.cancel()
        waiter.cancel()
        await #expect(throws: TuxletError.cancelled) { try await reader.value }
        await #expect(throws: TuxletError.cancelled) { try await writer.value }
        await #expect(throws: TuxletError.cancelled) { try await waiter.value }
        // The program does not notice, and others can still wait for it.
        try process.killGroup(.terminate)
        #expect(try await process.wait().signal == .terminate)
    }

    @Test func aProgramWhoseOutputNobodyWantsEnds() async throws {
        let machine = try await startMachine()
        let process = try await machine.exec(.shell("flood 100000000"))
        let task = Task {
            for try await _ in process.output { break }
            _ = try await process.output.collect()
        }
        task.cancel()
        _ = await task.result
        #expect(try await !process.wait().isSuccess)
    }

    @Test func terminals() async throws {
        let machine = try await startMachine()
        var command = Command.shell("wait-byte;size")
        command.terminal = TerminalSize(rows: 30, columns: 100)
        let process = try await machine.exec(command)
        try process.resize(TerminalSize(rows: 31, columns: 101))
        try await process.write("\n")
        let shown = try await process.output.collect()
        #expect(String(decoding: shown.bytes, as: UTF8.self) == "\r\n0 31 101\r\n")
        #expect(try await process.wait().isSuccess)

        command = .shell("hang")
        command.terminal = TerminalSize(rows: 24, columns: 80)
        let hanging = try await machine.exec(command)
        try hanging.hangUp()
        #expect(try await hanging.wait().signal == .hangUp)
        #expect(throws: TuxletError.self) { try process.closeInput() }
    }

    @Test func manyAtATime() async throws {
        let machine = try await startMachine()
        let texts = try await withThrowingTaskGroup(of: String.self) { group in
            for i in 0..<40 { group.addTask { try await machine.run(.shell("echo \(i)")).text } }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(texts == Set((0..<40).map { "\($0)\n" }))
    }

    @Test func errorsSayWhatIsWrong() async throws {
        let machine = try await startMachine()
        await #expect { try await machine.exec(Command("/none")) } throws: { ($0 as? TuxletError)?.errno == .ENOENT }
        await #expect(throws: TuxletError.invalid("a text has a zero byte in it")) {
            try await machine.exec(Command("/bin/sh", ["a\0b"]))
        }
        await #expect { try await Machine.start(Configuration(root: .directory("/none"))) } throws: {
            "\($0)".contains("/none")
        }
        #expect { try machine.kill(9999) } throws: { ($0 as? TuxletError)?.errno == .ESRCH }
    }

    @Test(.enabled(if: alpineRoot != nil, "TUXLET_ALPINE_ROOT names no Alpine"))
    func aRealDistribution() async throws {
        let machine = try await Machine.start(Configuration(root: .directory(alpineRoot!)))
        let release = try await machine.run(.shell(". /etc/os-release; echo $ID; seq 1 1000 | awk '{ s += $1 } END { print s }'"))
        #expect(release.text == "alpine\n500500\n")
        let sorted = try await machine.run(Command("sort", ["-n"]), input: Array("10\n9\n1\n".utf8))
        #expect(sorted.text == "1\n9\n10\n")
    }
}
