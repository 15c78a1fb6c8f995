import CTuxlet

/// The process that a native command runs as, for the time that it does. When its functions throw ``TuxletError/ended``, somebody has killed
/// the process, and the command has to return.
public final class NativeCall {
    private var call: OpaquePointer?
    /// With the command's name in front.
    public let arguments: [String]
    /// Process id in the machine.
    public let pid: UInt32

    init(_ call: OpaquePointer) {
        self.call = call
        pid = tux_call_pid(call)
        arguments = (0..<tux_call_argc(call)).map { String(cString: tux_call_arg(call, $0)) }
    }

    /// The library frees it when the command has returned.
    func end() {
        call = nil
    }

    private func current() throws(TuxletError) -> OpaquePointer {
        guard let call else { throw .invalid("the command has returned") }
        return call
    }

    /// A variable of its environment.
    public func environment(_ name: String) -> String? {
        guard let call, let value = tux_call_env(call, name) else { return nil }
        return String(cString: value)
    }

    /// Its working directory, if that is still there.
    public var workingDirectory: String? {
        guard let call, let path = tux_call_cwd(call) else { return nil }
        return String(cString: path)
    }

    /// For what works long without reading or writing: rests while the process is stopped, throws when it is to end.
    public func check() throws(TuxletError) {
        let call = try current()
        try TuxletKit.check { tux_call_check(call, $0) }
    }

    /// Waits for something to read; nothing at the end. 0 is the standard input.
    public func read(_ descriptor: Int32 = 0, limit: Int = 64 << 10) throws(TuxletError) -> [UInt8] {
        let call = try current()
        var buffer = [UInt8](repeating: 0, count: max(limit, 1))
        let count = try number { error in
            buffer.withUnsafeMutableBufferPointer {
                tux_call_read(call, descriptor, $0.baseAddress, $0.count, error)
            }
        }
        buffer.removeLast(buffer.count - Int(count))
        return buffer
    }

    /// Writes all of it; 1 is the standard output, 2 that for errors.
    public func write(_ bytes: [UInt8], to descriptor: Int32 = 1) throws(TuxletError) {
        let call = try current()
        try TuxletKit.check { tux_call_write(call, descriptor, bytes, bytes.count, $0) }
    }

    /// As ``write(_:to:)-([UInt8],_)``.
    public func write(_ text: String, to descriptor: Int32 = 1) throws(TuxletError) {
        try write(Array(text.utf8), to: descriptor)
    }

    /// A file of the machine, with the rights and from the working directory of the process.
    public func readFile(_ path: String) throws(TuxletError) -> [UInt8] {
        let (call, path) = (try current(), try text(path))
        return try bytes { tux_call_read_file(call, path, $0, $1, $2) }
    }

    /// Replaces a file of the machine, with the rights and from the working directory of the process.
    public func writeFile(_ path: String, _ bytes: [UInt8], mode: UInt32 = 0o644) throws(TuxletError) {
        let (call, path) = (try current(), try text(path))
        try TuxletKit.check { tux_call_write_file(call, path, mode, bytes, bytes.count, $0) }
    }
}
