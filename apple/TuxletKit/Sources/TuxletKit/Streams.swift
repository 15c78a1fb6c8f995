import CTuxlet

/// What a program prints, in pieces as they come. Nothing is read ahead: a program whose output nobody reads waits.
///
/// It is for one reader. When the reader's task is cancelled the stream is closed: the program gets SIGPIPE when it writes on, or SIGHUP if
/// the stream is its terminal.
public struct ByteStream: AsyncSequence, Sendable {
    public typealias Element = [UInt8]

    let process: Handle
    let stream: tux_stream

    /// Bytes read in one step.
    private static let room = 64 << 10

    public struct AsyncIterator: AsyncIteratorProtocol, Sendable {
        let source: ByteStream

        public mutating func next() async throws(TuxletError) -> [UInt8]? {
            let piece = try await source.read()
            return piece.isEmpty ? nil : piece
        }
    }

    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(source: self)
    }

    /// The next bytes; none at the end.
    func read() async throws(TuxletError) -> [UInt8] {
        let (process, stream) = (process, Int32(stream.rawValue))
        do throws(TuxletError) {
            let piece = try await offload(onCancel: { tux_process_close(process.pointer, stream, nil) }) {
                () throws(TuxletError) -> [UInt8] in
                var failure: TuxletError?
                let piece = [UInt8](unsafeUninitializedCapacity: Self.room) { buffer, count in
                    let read = outcome { () throws(TuxletError) in
                        try number { tux_process_read(process.pointer, stream, buffer.baseAddress, buffer.count, .max, $0) }
                    }
                    switch read {
                    case .success(let n): count = Int(n)
                    case .failure(let error): failure = error
                    }
                }
                if let failure { throw failure }
                return piece
            }
            if Task.isCancelled && piece.isEmpty { throw TuxletError.cancelled }
            return piece
        } catch {
            if case .closed = error, Task.isCancelled { throw .cancelled }
            throw error
        }
    }

    /// The lines; each is decoded as a whole, so that no character is torn.
    public var lines: Lines {
        Lines(source: self)
    }

    /// Reads to the end and keeps the first `limit` bytes.
    public func collect(limit: Int = 16 << 20) async throws(TuxletError) -> (bytes: [UInt8], truncated: Bool) {
        var kept: [UInt8] = []
        var truncated = false
        while true {
            let piece = try await read()
            if piece.isEmpty { return (kept, truncated) }
            let fits = Swift.min(limit - kept.count, piece.count)
            truncated = truncated || fits < piece.count
            kept.append(contentsOf: piece.prefix(fits))
        }
    }

    /// Lines of text, without their ends. What is not UTF-8 is replaced.
    public struct Lines: AsyncSequence, Sendable {
        public typealias Element = String

        let source: ByteStream

        public struct AsyncIterator: AsyncIteratorProtocol, Sendable {
            let source: ByteStream
            var splitter = LineSplitter()

            public mutating func next() async throws(TuxletError) -> String? {
                while true {
                    if let line = splitter.next() { return line }
                    let piece = try await source.read()
                    if piece.isEmpty { return splitter.rest() }
                    splitter.append(piece)
                }
            }
        }

        public func makeAsyncIterator() -> AsyncIterator {
            AsyncIterator(source: source)
        }
    }
}

/// Cuts pieces of bytes into lines.
public struct LineSplitter: Sendable {
    private var waiting: [UInt8] = []
    /// Bytes of `waiting` that have been given out.
    private var taken = 0
    /// Bytes of `waiting` that have been looked at.
    private var seen = 0

    public init() {}

    /// Takes more bytes in.
    public mutating func append(_ piece: some Sequence<UInt8>) {
        waiting.removeFirst(taken)
        seen -= taken
        taken = 0
        waiting.append(contentsOf: piece)
    }

    /// The next line that has come to its end.
    public mutating func next() -> String? {
        guard let end = waiting[seen...].firstIndex(of: 0x0a) else {
            seen = waiting.count
            return nil
        }
        defer { (taken, seen) = (end + 1, end + 1) }
        return String(decoding: waiting[taken..<end], as: UTF8.self)
    }

    /// What comes after the last line, if there is anything.
    public mutating func rest() -> String? {
        defer { (waiting, taken, seen) = ([], 0, 0) }
        return taken == waiting.count ? nil : String(decoding: waiting[taken...], as: UTF8.self)
    }
}
