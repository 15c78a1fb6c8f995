import CTuxlet

/// An error number of Linux on arm64, whatever the host's numbers are.
public struct LinuxErrno: RawRepresentable, Hashable, Sendable {
    /// The number.
    public let rawValue: Int32

    public init(rawValue: Int32) {
        self.rawValue = rawValue
    }

    public static let EPERM = LinuxErrno(rawValue: 1)
    public static let ENOENT = LinuxErrno(rawValue: 2)
    public static let ESRCH = LinuxErrno(rawValue: 3)
    public static let EIO = LinuxErrno(rawValue: 5)
    public static let EBADF = LinuxErrno(rawValue: 9)
    public static let EAGAIN = LinuxErrno(rawValue: 11)
    public static let ENOMEM = LinuxErrno(rawValue: 12)
    public static let EACCES = LinuxErrno(rawValue: 13)
    public static let EEXIST = LinuxErrno(rawValue: 17)
    public static let ENOTDIR = LinuxErrno(rawValue: 20)
    public static let EISDIR = LinuxErrno(rawValue: 21)
    public static let EINVAL = LinuxErrno(rawValue: 22)
    public static let ENOSPC = LinuxErrno(rawValue: 28)
    public static let EROFS = LinuxErrno(rawValue: 30)
    public static let ENOSYS = LinuxErrno(rawValue: 38)
    public static let ENOTEMPTY = LinuxErrno(rawValue: 39)
}

/// Why a call failed.
public enum TuxletError: Error, Hashable, Sendable {
    /// An argument is out of range, or has a zero byte in it.
    case invalid(String)
    /// The machine or the host refused; the guest's error number, if there is one.
    case failed(LinuxErrno?, String)
    /// The stream was not asked for, or has been closed.
    case closed(String)
    /// The process of a native command is to end: the command returns then.
    case ended
    /// The task that waited was cancelled.
    case cancelled
    /// A bug in the library.
    case bug(String)

    /// The guest's error number, if there is one.
    public var errno: LinuxErrno? {
        if case .failed(let errno, _) = self { errno } else { nil }
    }

    init(_ code: Int64, _ error: tux_error) {
        let message = withUnsafeBytes(of: error.message) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        switch Int32(truncatingIfNeeded: code) {
        case TUX_INVALID.rawValue: self = .invalid(message)
        case TUX_CLOSED.rawValue: self = .closed(message)
        case TUX_ENDED.rawValue: self = .ended
        case TUX_PANIC.rawValue: self = .bug(message)
        default:
            let errno = error.linux_errno
            self = .failed(errno == 0 ? nil : LinuxErrno(rawValue: errno), message)
        }
    }
}

extension TuxletError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .invalid(let message), .failed(_, let message), .closed(let message): message
        case .ended: "the process is to end"
        case .cancelled: "cancelled"
        case .bug(let message): "a bug in Tuxlet: \(message)"
        }
    }
}

/// Calls a function of the library that gives a number, or a code below 0.
@discardableResult
func number(_ body: (UnsafeMutablePointer<tux_error>) -> Int64) throws(TuxletError) -> Int64 {
    var error = tux_error()
    let value = body(&error)
    guard value >= 0 else { throw TuxletError(value, error) }
    return value
}

/// Calls a function of the library that gives 0 or a code.
func check(_ body: (UnsafeMutablePointer<tux_error>) -> Int32) throws(TuxletError) {
    try number { Int64(body($0)) }
}

/// As ``check(_:)``, for calls that may run out of time: whether the call was in time.
func inTime(_ body: (UnsafeMutablePointer<tux_error>) -> Int32) throws(TuxletError) -> Bool {
    var error = tux_error()
    let code = body(&error)
    if code == TUX_TIMEOUT.rawValue { return false }
    guard code >= 0 else { throw TuxletError(Int64(code), error) }
    return true
}

/// A text for C, where a zero byte would be its end.
func text(_ string: String) throws(TuxletError) -> String {
    guard !string.utf8.contains(0) else { throw .invalid("a text has a zero byte in it") }
    return string
}

/// Bytes that the library has given, freed here.
func bytes(
    _ body: (UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>, UnsafeMutablePointer<Int>, UnsafeMutablePointer<tux_error>)
        -> Int32
) throws(TuxletError) -> [UInt8] {
    var start: UnsafeMutablePointer<UInt8>?
    var count = 0
    try check { body(&start, &count, $0) }
    defer { tux_bytes_free(start, count) }
    return Array(UnsafeBufferPointer(start: start, count: count))
}
