import TuxletKit

/// A key that is no character.
public enum TerminalKey: Hashable, Sendable {
    case up, down, right, left, home, end, pageUp, pageDown, delete, backspace, enter, tab, escape
    /// With the control key: a letter, or one of `@ [ \ ] ^ _`.
    case control(Character)

    /// What it sends; cursor keys depend on what the program has asked for.
    public func bytes(applicationCursorKeys: Bool) -> [UInt8] {
        let cursor = applicationCursorKeys ? "\u{1b}O" : "\u{1b}["
        let text: String
        switch self {
        case .up: text = cursor + "A"
        case .down: text = cursor + "B"
        case .right: text = cursor + "C"
        case .left: text = cursor + "D"
        case .home: text = cursor + "H"
        case .end: text = cursor + "F"
        case .pageUp: text = "\u{1b}[5~"
        case .pageDown: text = "\u{1b}[6~"
        case .delete: text = "\u{1b}[3~"
        case .backspace: text = "\u{7f}"
        case .enter: text = "\r"
        case .tab: text = "\t"
        case .escape: text = "\u{1b}"
        case .control(let character):
            guard let code = character.uppercased().utf8.first, (0x40...0x5f).contains(code) else { return [] }
            return [code & 0x1f]
        }
        return Array(text.utf8)
    }
}

/// A program with a screen.
public actor TerminalSession {
    /// What has become of the program.
    public enum State: Hashable, Sendable {
        case notStarted
        case running
        case ended(ExitStatus)
        case failed(String)
    }

    /// What there is to be shown.
    public struct Snapshot: Sendable {
        public let screen: TerminalScreen
        public let state: State
    }

    /// What there is to be shown, whenever that changes; whoever is slow misses what is out of date.
    public nonisolated let snapshots: AsyncStream<Snapshot>

    private let machine: Machine
    private let command: Command
    private let continuation: AsyncStream<Snapshot>.Continuation
    private var screen: TerminalScreen
    private var state = State.notStarted
    private var process: GuestProcess?

    public init(machine: Machine, command: Command, size: TerminalSize, scrollback: Int = 10_000) {
        self.machine = machine
        var command = command
        command.terminal = size
        command.environment["TERM"] = "xterm-256color"
        self.command = command
        screen = TerminalScreen(rows: Int(size.rows), columns: Int(size.columns), scrollbackLimit: scrollback)
        (snapshots, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Runs the program to its end. Cancelling the task hangs the terminal up.
    public func run() async {
        guard case .notStarted = state else { return }
        state = .running
        do {
            let process = try await machine.exec(command)
            self.process = process
            // It may have another size by now.
            try process.resize(TerminalSize(rows: UInt16(screen.rows), columns: UInt16(screen.columns)))
            tell()
            for try await bytes in process.output {
                let replies = screen.show(bytes)
                tell()
                if !replies.isEmpty { await write(replies) }
            }
            state = .ended(try await process.wait())
        } catch {
            state = .failed("\(error)")
        }
        tell()
        continuation.finish()
    }

    private func tell() {
        continuation.yield(Snapshot(screen: screen, state: state))
    }

    private func write(_ bytes: [UInt8]) async {
        // A program that has ended reads nothing; its end is told elsewhere.
        try? await process?.write(bytes)
    }

    public func type(_ text: String) async {
        await write(Array(text.utf8))
    }

    public func press(_ key: TerminalKey) async {
        await write(key.bytes(applicationCursorKeys: screen.hasApplicationCursorKeys))
    }

    /// Types a text from elsewhere: programs that can tell it from keys are told, and it cannot end the marks itself.
    public func paste(_ text: String) async {
        let text = text.replacing("\r\n", with: "\r").replacing("\n", with: "\r")
        guard screen.hasBracketedPaste else { return await write(Array(text.utf8)) }
        let inner = text.replacing("\u{1b}", with: "")
        await write(Array("\u{1b}[200~\(inner)\u{1b}[201~".utf8))
    }

    public func resize(_ size: TerminalSize) {
        screen.resize(rows: Int(size.rows), columns: Int(size.columns))
        // One that has not started gets its size then.
        try? process?.resize(size)
        tell()
    }

    /// Ends the program as closing a window does.
    public func close() {
        try? process?.hangUp()
    }
}
