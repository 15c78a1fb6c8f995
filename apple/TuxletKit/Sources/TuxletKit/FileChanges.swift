import CTuxlet

/// A change to a file of the machine.
public struct FileChange: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        case created
        /// Closed after it was open for writing.
        case written
        case truncated
        case removed
        case renamed
        case exchanged
    }

    public let kind: Kind
    /// Absolute, in the machine; of a rename, the old one.
    public let path: String
    /// The other path of a rename or an exchange.
    public let otherPath: String?
    public let isDirectory: Bool
    /// The process that did it; 0: the embedder.
    public let pid: UInt32
    /// ``Command/context`` of the command that the process belongs to.
    public let context: UInt64

    init(_ change: tux_change) {
        kind =
            switch UInt32(change.kind) {
            case TUX_CREATED.rawValue: .created
            case TUX_WRITTEN.rawValue: .written
            case TUX_TRUNCATED.rawValue: .truncated
            case TUX_REMOVED.rawValue: .removed
            case TUX_RENAMED.rawValue: .renamed
            default: .exchanged
            }
        path = String(cString: change.path)
        otherPath = change.to.map { String(cString: $0) }
        isDirectory = change.directory != 0
        pid = change.pid
        context = change.context
    }
}

/// The record of changes to a machine's files, oldest first, from ``Machine/trackChanges(capacity:)`` on. It is for one reader; it ends when
/// the reader's task is cancelled.
public struct FileChanges: AsyncSequence, Sendable {
    public typealias Element = FileChange

    let handle: Handle

    /// How many changes were lost since this was asked last: whoever keeps a copy has to look at everything again.
    public func takeDropped() -> UInt64 {
        tux_changes_dropped(handle.pointer)
    }

    /// The oldest change that waits, if there is one.
    public func nextWaiting() throws(TuxletError) -> FileChange? {
        try next(within: 0)
    }

    /// Lets the sequence end after what waits now.
    public func finish() {
        tux_changes_finish(handle.pointer, nil)
    }

    private func next(within milliseconds: UInt64) throws(TuxletError) -> FileChange? {
        var change: UnsafeMutablePointer<tux_change>?
        guard try inTime({ tux_changes_next(handle.pointer, milliseconds, &change, $0) }), let change else { return nil }
        defer { tux_change_free(change) }
        return FileChange(change.pointee)
    }

    public struct AsyncIterator: AsyncIteratorProtocol, Sendable {
        let source: FileChanges

        public mutating func next() async throws(TuxletError) -> FileChange? {
            let source = source
            do throws(TuxletError) {
                return try await offload(onCancel: { source.finish() }) { () throws(TuxletError) in
                    try source.next(within: .max)
                }
            } catch {
                guard case .closed = error else { throw error }
                if Task.isCancelled { throw .cancelled }
                return nil
            }
        }
    }

    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(source: self)
    }
}
