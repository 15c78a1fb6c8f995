import Foundation
import TestSupport
import Testing
import TuxletAppModel
import TuxletKit

/// A machine that notes what is asked of it.
private final class Noted: Suspendable {
    let calls = Record<String>()
    let refuses: Bool

    init(refuses: Bool = false) {
        self.refuses = refuses
    }

    func suspend(timeout: Duration) async throws(TuxletError) {
        calls.append("suspend")
        // Others have their chance to come in between.
        for _ in 0..<10 { await Task.yield() }
        calls.append("suspended")
        if refuses { throw .failed(nil, "restless") }
    }

    func resume() async throws(TuxletError) {
        calls.append("resumed")
    }

    func trim() -> UInt64 {
        7
    }
}

@Suite struct ModelTests {
    @Test func aTerminalShowsWhatAProgramDoes() async throws {
        let machine = try await startMachine()
        let session = TerminalSession(
            machine: machine, command: .shell("wait-byte;size;env TERM;echo häß"), size: TerminalSize(rows: 6, columns: 30))
        await session.resize(TerminalSize(rows: 7, columns: 31))
        let running = Task { await session.run() }
        var last: TerminalSession.Snapshot?
        var typed = false
        for await snapshot in session.snapshots {
            last = snapshot
            if snapshot.state == .running && !typed {
                typed = true
                await session.press(.enter)
            }
        }
        await running.value
        #expect(last?.state == .ended(ExitStatus(code: 0, signal: nil)))
        #expect(last?.screen.text == "\n0 7 31\nxterm-256color\nhäß\n\n\n")
        // It does not start again.
        await session.run()
    }

    @Test func closingATerminalHangsItUp() async throws {
        let machine = try await startMachine()
        let session = TerminalSession(machine: machine, command: .shell("echo on;hang"), size: TerminalSize(rows: 2, columns: 9))
        let running = Task { await session.run() }
        var state: TerminalSession.State?
        for await snapshot in session.snapshots {
            state = snapshot.state
            if snapshot.screen.text.hasPrefix("on") { await session.close() }
        }
        await running.value
        #expect(state == .ended(ExitStatus(code: 129, signal: .hangUp)))
        let absent = TerminalSession(machine: machine, command: Command("/none"), size: TerminalSize(rows: 2, columns: 9))
        await absent.run()
        for await snapshot in absent.snapshots { state = snapshot.state }
        if case .failed(let message) = state { #expect(message.contains("/none")) } else { Issue.record("\(state as Any)") }
    }

    @Test func pastedTextIsTypedByOneTerminal() async throws {
        let machine = try await startMachine()
        let session = TerminalSession(machine: machine, command: .shell("lines"), size: TerminalSize(rows: 4, columns: 20))
        let running = Task { await session.run() }
        for await snapshot in session.snapshots {
            if snapshot.state == .running && snapshot.screen.text.allSatisfy({ $0 == "\n" }) { await session.paste("a\r\nb\n") }
            if snapshot.screen.text.contains("B") { break }
        }
        await session.press(.control("d"))
        await running.value
    }

    @Test func keys() {
        #expect(TerminalKey.up.bytes(applicationCursorKeys: false) == Array("\u{1b}[A".utf8))
        #expect(TerminalKey.up.bytes(applicationCursorKeys: true) == Array("\u{1b}OA".utf8))
        #expect(TerminalKey.control("c").bytes(applicationCursorKeys: false) == [3])
        #expect(TerminalKey.control("[").bytes(applicationCursorKeys: false) == [0x1b])
        #expect(TerminalKey.control("é").bytes(applicationCursorKeys: false).isEmpty)
    }

    @Test func settingsSurviveWhateverIsStored() throws {
        var settings = Settings()
        settings.theme = .dark
        settings.shell = "exec fish"
        #expect(Settings.stored(try settings.data()) == settings)
        #expect(Settings.stored(nil) == Settings())
        #expect(Settings.stored(Data("nonsense".utf8)) == Settings())
        let odd = Settings.stored(Data(#"{"fontSize": 1000, "theme": "pink", "memory": 1, "new": true}"#.utf8))
        #expect(odd.fontSize == 40 && odd.theme == .system && odd.memory == 64 && odd.shell == Settings().shell)
    }

    @Test func transitionsHappenInOrder() async {
        let noted = Noted()
        let lifecycle = Lifecycle(machine: noted)
        async let first = lifecycle.enterBackground()
        while noted.calls.values.isEmpty { await Task.yield() }
        async let second = lifecycle.enterForeground()
        #expect(await first == .suspended || noted.calls.values.last == "resumed")
        #expect(await second == .active)
        #expect(noted.calls.values == ["suspend", "suspended", "resumed"])
        #expect(lifecycle.memoryWarning() == 7)
        let restless = Lifecycle(machine: Noted(refuses: true))
        #expect(await restless.enterBackground() == .failed(.failed(nil, "restless")))
        #expect(await restless.enterForeground() == .active)
    }

    @Test func aMachineGoesToTheBackgroundAndBack() async throws {
        let machine = try await startMachine()
        let lifecycle = Lifecycle(machine: machine)
        #expect(await lifecycle.enterBackground(timeout: .seconds(60)) == .suspended)
        #expect(await lifecycle.enterForeground() == .active)
        #expect(try await machine.run(.shell("echo on")).text == "on\n")
    }

    @Test func shortcutsRunCommands() async throws {
        let machine = try await startMachine()
        var settings = Settings()
        await #expect(throws: RunCommandAction.Failure.notAllowed) {
            try await RunCommandAction(machine: machine, settings: settings).perform("echo a")
        }
        settings.allowsShortcuts = true
        let action = RunCommandAction(machine: machine, settings: settings)
        #expect(try await action.perform("echo a") == "a")
        #expect(try await action.perform("cat", input: "a\nb\n") == "a\nb")
        await #expect(throws: RunCommandAction.Failure.failed(code: 3, message: "why")) {
            try await action.perform("warn why;exit 3")
        }
        await #expect(throws: RunCommandAction.Failure.timedOut(seconds: 1)) {
            try await action.perform("hang", seconds: 1)
        }
    }

    @Test func filesAreItemsWithChanges() async throws {
        let machine = try await startMachine()
        try await machine.createDirectory("/home/docs")
        try await machine.writeFile("/home/other", [])
        let files = try GuestFiles(machine: machine, root: "/home/docs")
        let start = try await files.currentAnchor()
        let directory = try await files.createDirectory("d", in: "/home/docs")
        #expect(directory.identifier == "/home/docs/d" && directory.parent == "/home/docs")
        let file = try await files.put("f", in: directory.identifier, Array("x".utf8))
        #expect(file.metadata.kind == .file && file.metadata.size == 1)
        #expect(try await files.contents(file.identifier) == Array("x".utf8))
        let moved = try await files.move(file.identifier, to: "g", in: "/home/docs")
        #expect(try await files.children("/home/docs").map(\.name) == ["d", "g"])
        let changes = try #require(try await files.changes(since: start))
        #expect(changes.updated == ["/home/docs/d", "/home/docs/g"] && changes.deleted == ["/home/docs/d/f"])
        // What programs do counts as well, outside of the directory nothing does.
        _ = try await machine.run(.shell("write /home/docs/h x;rm /home/docs/g;write /home/other x"))
        let more = try #require(try await files.changes(since: changes.anchor))
        #expect(more.updated == ["/home/docs/h"] && more.deleted == [moved.identifier])
        for outside in ["/home/other", "/home/docs/../other", "/home/docs2"] {
            await #expect { try await files.item(outside) } throws: { ($0 as? TuxletError)?.errno == .EACCES }
        }
        await #expect { try await files.put("../other", in: "/home/docs", []) } throws: {
            ($0 as? TuxletError)?.errno == .EACCES
        }
        try await machine.createSymbolicLink("/home/docs/d/link", to: "/home/other")
        _ = try await files.put("deep", in: "/home/docs/d/e", [])
        try await files.delete("/home/docs/d")
        #expect(try await files.children("/home/docs").map(\.name) == ["h"])
        #expect(try await machine.readFile("/home/other") == Array("x".utf8))
        #expect(try await files.changes(since: 1 << 40) == nil)
    }
}
