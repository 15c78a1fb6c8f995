import CTuxlet

/// What a machine is made of.
public struct Configuration: Sendable {
    /// Where the root's files are.
    public enum Root: Hashable, Sendable {
        /// An empty file system in memory.
        case memory
        /// A directory of the host.
        case directory(String)
        /// A store that `tuxlet` has made. Only one machine at a time can have it.
        case store(String)
    }

    /// A directory or file of the host that is shown in the machine.
    public struct Mount: Hashable, Sendable {
        public var host: String
        public var guest: String
        public var isReadOnly: Bool

        public init(host: String, guest: String, isReadOnly: Bool = true) {
            self.host = host
            self.guest = guest
            self.isReadOnly = isReadOnly
        }
    }

    /// A process that is about to be made by another one.
    public struct Fork: Hashable, Sendable {
        /// The process that makes it.
        public let parent: UInt32
        /// User that it runs as.
        public let user: UInt32
        /// ``Command/context`` of the command that it belongs to.
        public let context: UInt64
        /// Threads of the machine now.
        public let tasks: UInt64
        /// Name of the thread that makes it.
        public let name: String
    }

    public var root: Root
    public var mounts: [Mount] = []
    public var hostname: String?
    /// Bytes that all processes may use together.
    public var memory: UInt64?
    /// Variables of every command that does not set them itself.
    public var environment: [String: String] = [:]
    /// Asked before a process makes another one (not for threads, nor for what ``Machine/exec(_:)`` starts): nil allows it, an errno is
    /// what fork(2) fails with. Must return soon.
    public var forkGuard: (@Sendable (Fork) -> LinuxErrno?)?
    /// Absolute paths, and where each leads the processes of a context, as a symbolic link would; nil: nowhere.
    public var pathHooks: [String: @Sendable (UInt64) -> String?] = [:]
    /// Programs of yours that guests execute, by absolute path, or by name without a slash: every program executed under it. The result is
    /// the exit code. They run on the thread that would run the guest's code.
    public var nativeCommands: [String: @Sendable (NativeCall) throws -> UInt8] = [:]
    /// Hears of bytes in use and the limit when more than so many percent of it come to be in use.
    public var memoryPressure: (percent: UInt8, listener: @Sendable (_ used: UInt64, _ limit: UInt64) -> Void)?

    public init(root: Root) {
        self.root = root
    }

    /// The library's form, used up by `tux_builder_build`.
    func make() throws(TuxletError) -> OpaquePointer {
        guard let builder = tux_builder_new() else { throw .bug("no builder") }
        do throws(TuxletError) {
            try fill(builder)
            try register(builder)
        } catch {
            tux_builder_free(builder)
            throw error
        }
        return builder
    }

    private func fill(_ builder: OpaquePointer) throws(TuxletError) {
        switch root {
        case .memory:
            try check { tux_builder_root_memory(builder, $0) }
        case .directory(let path):
            let path = try text(path)
            try check { tux_builder_root_dir(builder, path, $0) }
        case .store(let path):
            let path = try text(path)
            try check { tux_builder_root_store(builder, path, $0) }
        }
        for mount in mounts {
            let (host, guest) = (try text(mount.host), try text(mount.guest))
            try check { tux_builder_bind(builder, host, guest, mount.isReadOnly ? 1 : 0, $0) }
        }
        if let hostname {
            let hostname = try text(hostname)
            try check { tux_builder_hostname(builder, hostname, $0) }
        }
        if let memory {
            try check { tux_builder_memory(builder, memory, $0) }
        }
        for (name, value) in environment {
            let (name, value) = (try text(name), try text(value))
            try check { tux_builder_env(builder, name, value, $0) }
        }
    }

    /// Gives the library the functions; it lets go of each by `drop`.
    private func register(_ builder: OpaquePointer) throws(TuxletError) {
        let drop: tux_drop = { Unmanaged<AnyObject>.fromOpaque($0!).release() }
        if let forkGuard {
            let user = Box.retained(forkGuard)
            try check { tux_builder_fork_guard(builder, askForkGuard, user, drop, $0) }
        }
        for (path, hook) in pathHooks {
            let path = try text(path)
            let user = Box.retained(hook)
            try check { tux_builder_path_hook(builder, path, askPathHook, user, drop, $0) }
        }
        for (name, command) in nativeCommands {
            let name = try text(name)
            let user = Box.retained(command)
            try check { tux_builder_native(builder, name, runNativeCommand, user, drop, $0) }
        }
        if let memoryPressure {
            let user = Box.retained(memoryPressure.listener)
            try check { tux_builder_memory_pressure(builder, memoryPressure.percent, tellPressure, user, drop, $0) }
        }
    }
}

/// A function on its way through C.
final class Box<T: Sendable>: Sendable {
    let value: T

    private init(_ value: T) {
        self.value = value
    }

    /// A pointer that has to be released.
    static func retained(_ value: T) -> UnsafeMutableRawPointer {
        Unmanaged.passRetained(Box(value)).toOpaque()
    }

    static func borrow(_ pointer: UnsafeMutableRawPointer?) -> T {
        Unmanaged<Box<T>>.fromOpaque(pointer!).takeUnretainedValue().value
    }
}

private func askForkGuard(fork: UnsafePointer<tux_fork>?, user: UnsafeMutableRawPointer?) -> Int32 {
    let fork = fork!.pointee
    let name = withUnsafeBytes(of: fork.name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    let asked = Configuration.Fork(
        parent: fork.parent, user: fork.uid, context: fork.context, tasks: fork.tasks, name: name)
    return Box<@Sendable (Configuration.Fork) -> LinuxErrno?>.borrow(user)(asked)?.rawValue ?? 0
}

private func askPathHook(
    context: UInt64, target: UnsafeMutablePointer<CChar>?, room: Int, user: UnsafeMutableRawPointer?
) -> Int32 {
    guard let path = Box<@Sendable (UInt64) -> String?>.borrow(user)(context), path.utf8.count < room else { return 1 }
    let bytes = path.utf8.map { CChar(bitPattern: $0) } + [0]
    target!.update(from: bytes, count: bytes.count)
    return 0
}

private func tellPressure(used: UInt64, limit: UInt64, user: UnsafeMutableRawPointer?) {
    Box<@Sendable (UInt64, UInt64) -> Void>.borrow(user)(used, limit)
}

private func runNativeCommand(call: OpaquePointer?, user: UnsafeMutableRawPointer?) -> Int32 {
    let native = NativeCall(call!)
    defer { native.end() }
    let command = Box<@Sendable (NativeCall) throws -> UInt8>.borrow(user)
    do {
        return Int32(try command(native))
    } catch {
        // As a program that fails does; if the process has been killed, nobody sees it.
        try? native.write("\(native.arguments.first ?? ""): \(error)\n", to: 2)
        return 1
    }
}
