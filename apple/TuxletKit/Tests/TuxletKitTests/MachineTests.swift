import Foundation
import TestSupport
import Testing
import TuxletKit

@Suite struct MachineTests {
    @Test func files() async throws {
        let machine = try await startMachine()
        try await machine.createDirectory("/srv/a/b")
        try await machine.writeFile("/srv/f", Array("hello".utf8), mode: 0o640)
        try await machine.createSymbolicLink("/srv/l", to: "f")
        #expect(try await machine.readLink("/srv/l") == "f")
        #expect(try await machine.readFile("/srv/l") == Array("hello".utf8))
        #expect(try await machine.readFile("/srv/f", offset: 3, count: 10) == Array("lo".utf8))
        try await machine.setMode("/srv/f", 0o4600)
        let file = try await machine.metadata("/srv/l")
        #expect(file.kind == .file && file.size == 5 && file.mode == 0o4600 && file.modified > .seconds(1_000_000_000))
        #expect(try await machine.metadata("/srv/l", followingLinks: false).kind == .symbolicLink)
        let entries = try await machine.list("/srv").map { "\($0.name) \($0.kind)" }.sorted()
        #expect(entries == ["a directory", "f file", "l symbolicLink"])
        try await machine.rename("/srv/f", to: "/srv/a/g")
        try await machine.remove("/srv/l")
        await #expect { try await machine.remove("/srv/a") } throws: { ($0 as? TuxletError)?.errno == .ENOTEMPTY }
        await #expect { try await machine.readFile("/srv/f") } throws: { ($0 as? TuxletError)?.errno == .ENOENT }
        await #expect { try await machine.list("/srv/a/g") } throws: { ($0 as? TuxletError)?.errno == .ENOTDIR }
        try await machine.writeFile("/empty", [])
        #expect(try await machine.readFile("/empty").isEmpty)
        try await machine.sync()
    }

    @Test func mounts() async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("tuxletkit-\(UUID())")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        try Data("of the host".utf8).write(to: directory.appendingPathComponent("x"))
        let machine = try await startMachine {
            $0.mounts = [
                .init(host: directory.path, guest: "/ro"), .init(host: directory.path, guest: "/rw", isReadOnly: false),
            ]
        }
        #expect(try await machine.run(.shell("read /ro/x")).text == "of the host\n")
        await #expect { try await machine.writeFile("/ro/y", []) } throws: { ($0 as? TuxletError)?.errno == .EROFS }
        try await machine.writeFile("/rw/y", Array("of the guest".utf8))
        #expect(try Data(contentsOf: directory.appendingPathComponent("y")) == Data("of the guest".utf8))
    }

    @Test func changesAreASequence() async throws {
        let machine = try await startMachine()
        let changes = try machine.trackChanges(capacity: 8)
        var command = Command.shell("write /a x;mv /a /b;rm /b")
        command.context = 7
        _ = try await machine.run(command)
        var seen: [FileChange] = []
        for try await change in changes {
            seen.append(change)
            if change.kind == .removed { break }
        }
        #expect(seen.map(\.kind) == [.created, .written, .renamed, .removed])
        #expect(seen.map(\.path) == ["/a", "/a", "/a", "/b"] && seen[2].otherPath == "/b")
        #expect(seen.allSatisfy { $0.context == 7 && $0.pid > 0 && !$0.isDirectory })
        #expect(try changes.nextWaiting() == nil && changes.takeDropped() == 0)
        for _ in 0..<5 { try await machine.writeFile("/many", [1]) }
        #expect(changes.takeDropped() > 0)

        let reader = Task { for try await _ in changes {} }
        reader.cancel()
        await #expect(throws: TuxletError.cancelled) { try await reader.value }
        let others = try machine.trackChanges()
        try await machine.createDirectory("/d")
        others.finish()
        var directories = 0
        for try await change in others where change.isDirectory { directories += 1 }
        #expect(directories == 1)
    }

    @Test func guardsAndHooks() async throws {
        let asked = Record<Configuration.Fork>()
        let machine = try await startMachine {
            $0.forkGuard = { fork in
                asked.append(fork)
                return fork.context == 1 ? .EAGAIN : nil
            }
            $0.pathHooks["/workspace"] = { $0 == 0 ? nil : "/srv/\($0)" }
        }
        try await machine.writeFile("/srv/1/f", Array("one".utf8))
        var command = Command.shell("fork;read /workspace/f")
        command.context = 1
        #expect(try await machine.run(command).text == "fork: EAGAIN\none\n")
        command.context = 0
        #expect(try await machine.run(command).text == "fork: ok\n/workspace/f: ENOENT\n")
        #expect(asked.values.map(\.context) == [1, 0])
        #expect(asked.values.allSatisfy { $0.name == "sh" && $0.user == 0 && $0.parent > 0 && $0.tasks > 0 })
    }

    @Test func nativeCommands() async throws {
        struct Refusal: Error {}
        let leaked = Record<Bool>()
        let machine = try await startMachine {
            $0.nativeCommands["/usr/bin/shout"] = { call in
                try call.write("\(call.arguments) \(call.environment("X") ?? "-") \(call.workingDirectory ?? "-")\n", to: 2)
                while true {
                    let piece = try call.read(limit: 5)
                    if piece.isEmpty { break }
                    try call.write(String(decoding: piece, as: UTF8.self).uppercased())
                }
                try call.writeFile("to", try call.readFile("from"), mode: 0o600)
                try call.check()
                leaked.append(call.pid > 0)
                return 42
            }
            $0.nativeCommands["refuse"] = { _ in throw Refusal() }
        }
        try await machine.writeFile("/srv/from", Array("copy".utf8))
        var command = Command("shout", ["a b"])
        command.environment["X"] = "y"
        command.workingDirectory = "/srv"
        let output = try await machine.run(command, input: Array("some text".utf8))
        #expect(output.text == "SOME TEXT" && output.status.code == 42)
        #expect(output.errorText == "[\"shout\", \"a b\"] y /srv\n")
        #expect(try await machine.readFile("/srv/to") == Array("copy".utf8))
        #expect(leaked.values == [true])
        try await machine.writeFile("/bin/refuse", [], mode: 0o755)
        let refused = try await machine.run(Command("refuse"))
        #expect(refused.status.code == 1 && refused.errorText == "refuse: Refusal()\n")

        // Killed while it reads; it hears of that.
        command.input = .pipe
        let process = try await machine.exec(command)
        var lines = process.errorOutput.lines.makeAsyncIterator()
        #expect(try await lines.next() != nil)
        try process.kill()
        #expect(try await process.wait().signal == .terminate)
    }

    @Test func memoryPressureAndStatistics() async throws {
        let told = Record<(UInt64, UInt64)>()
        let (stream, continuation) = AsyncStream<Void>.makeStream()
        let machine = try await startMachine {
            $0.memory = 64 << 20
            $0.memoryPressure = (
                50,
                {
                    told.append(($0, $1))
                    continuation.yield()
                }
            )
        }
        try await machine.writeFile("/large", [UInt8](repeating: 1, count: 40 << 20))
        for await _ in stream { break }
        #expect(told.values.first.map { $0 > 32 << 20 && $1 == 64 << 20 } == true)
        let used = try machine.statistics()
        #expect(used.memory >= 40 << 20 && used.memoryLimit == 64 << 20 && used.processes == 0)
        machine.trim()
    }

    @Test func suspendAndResume() async throws {
        let machine = try await startMachine()
        var command = Command.shell("lines")
        command.input = .pipe
        let process = try await machine.exec(command)
        try await process.write("a\n")
        var lines = process.output.lines.makeAsyncIterator()
        #expect(try await lines.next() == "A")
        try await machine.suspend(timeout: .seconds(60))
        await #expect(throws: TuxletError.self) { try await machine.exec(.shell("echo")) }
        try await machine.resume()
        try await process.write("b\n")
        #expect(try await lines.next() == "B")
        try machine.killAll()
        #expect(try await process.wait().signal == .kill)
        #expect(Machine.version.split(separator: ".").count == 3)
    }

    @Test func linesAreNeverTorn() {
        var splitter = LineSplitter()
        var lines: [String] = []
        for byte in "schön\n漢字\n\nend".utf8 {
            splitter.append([byte])
            while let line = splitter.next() { lines.append(line) }
        }
        #expect(lines == ["schön", "漢字", ""])
        #expect(splitter.rest() == "end" && splitter.rest() == nil)
    }
}
