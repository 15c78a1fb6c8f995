import CTuxlet

/// The size of a terminal's window.
public struct TerminalSize: Hashable, Sendable {
    public var rows: UInt16
    public var columns: UInt16

    public init(rows: UInt16, columns: UInt16) {
        self.rows = rows
        self.columns = columns
    }
}

/// A program to run in a machine.
public struct Command: Hashable, Sendable {
    /// Where standard input or output leads.
    public enum Stream: Hashable, Sendable {
        /// The guest's `/dev/null`.
        case null
        /// A pipe.
        case pipe
    }

    /// Where the standard error output leads.
    public enum ErrorStream: Hashable, Sendable {
        /// The guest's `/dev/null`.
        case null
        /// A pipe.
        case pipe
        /// Where the standard output leads.
        case output
    }

    /// A path, or a name that is looked for in `PATH`.
    public var program: String
    /// Its arguments, without its name.
    public var arguments: [String]
    /// Variables on top of those that every command has.
    public var environment: [String: String] = [:]
    /// The user's home, or the root, if it is nil.
    public var workingDirectory: String?
    /// A name, a number, or `USER:GROUP`; the superuser if it is nil.
    public var user: String?
    /// A number of yours for the program and all that descends from it: for changes, the fork guard and path hooks.
    public var context: UInt64 = 0
    public var input = Stream.null
    public var output = Stream.pipe
    public var errorOutput = ErrorStream.pipe
    /// A terminal for all three streams, in their place.
    public var terminal: TerminalSize?

    public init(_ program: String, _ arguments: [String] = []) {
        self.program = program
        self.arguments = arguments
    }

    /// A line for `/bin/sh`.
    public static func shell(_ line: String) -> Command {
        Command("/bin/sh", ["-c", line])
    }

    /// The library's form, used up by `tux_exec`.
    func make() throws(TuxletError) -> OpaquePointer {
        guard let command = tux_command_new(try text(program)) else { throw .invalid("the program has no name") }
        do throws(TuxletError) {
            try fill(command)
        } catch {
            tux_command_free(command)
            throw error
        }
        return command
    }

    private func fill(_ command: OpaquePointer) throws(TuxletError) {
        for argument in arguments {
            let argument = try text(argument)
            try check { tux_command_arg(command, argument, $0) }
        }
        for (name, value) in environment {
            let (name, value) = (try text(name), try text(value))
            try check { tux_command_env(command, name, value, $0) }
        }
        if let workingDirectory {
            let directory = try text(workingDirectory)
            try check { tux_command_cwd(command, directory, $0) }
        }
        if let user {
            let user = try text(user)
            try check { tux_command_user(command, user, $0) }
        }
        try check { tux_command_context(command, context, $0) }
        if let terminal {
            try check { tux_command_terminal(command, terminal.rows, terminal.columns, $0) }
            return
        }
        let streams: [(tux_stream, tux_stdio)] = [
            (TUX_STDIN, input == .pipe ? TUX_PIPE : TUX_NULL),
            (TUX_STDOUT, output == .pipe ? TUX_PIPE : TUX_NULL),
            (TUX_STDERR, errorOutput == .pipe ? TUX_PIPE : errorOutput == .output ? TUX_MERGE : TUX_NULL),
        ]
        for (stream, stdio) in streams {
            try check { tux_command_stdio(command, Int32(stream.rawValue), Int32(stdio.rawValue), $0) }
        }
    }
}

/// How a process ended.
public struct ExitStatus: Hashable, Sendable {
    /// The exit code as a shell shows it: 128 + number for a signal.
    public let code: Int32
    /// The signal that killed the process.
    public let signal: Signal?

    public init(code: Int32, signal: Signal?) {
        self.code = code
        self.signal = signal
    }

    /// Whether the program said that all went well.
    public var isSuccess: Bool { code == 0 }
}

/// A signal of Linux.
public struct Signal: RawRepresentable, Hashable, Sendable {
    public let rawValue: Int32

    public init(rawValue: Int32) {
        self.rawValue = rawValue
    }

    public static let hangUp = Signal(rawValue: 1)
    public static let interrupt = Signal(rawValue: 2)
    public static let quit = Signal(rawValue: 3)
    public static let kill = Signal(rawValue: 9)
    public static let terminate = Signal(rawValue: 15)
    public static let `continue` = Signal(rawValue: 18)
    public static let stop = Signal(rawValue: 19)
}
