import CTuxlet

/// What a file is: inode(7).
public enum FileKind: Hashable, Sendable {
    case file, directory, symbolicLink, fifo, characterDevice, blockDevice, socket

    init?(_ kind: Int32) {
        switch UInt32(bitPattern: kind) {
        case TUX_FILE.rawValue: self = .file
        case TUX_DIRECTORY.rawValue: self = .directory
        case TUX_SYMLINK.rawValue: self = .symbolicLink
        case TUX_FIFO.rawValue: self = .fifo
        case TUX_CHAR_DEVICE.rawValue: self = .characterDevice
        case TUX_BLOCK_DEVICE.rawValue: self = .blockDevice
        case TUX_SOCKET.rawValue: self = .socket
        default: return nil
        }
    }
}

/// What stat(2) tells of a file.
public struct FileMetadata: Hashable, Sendable {
    public let kind: FileKind
    /// Permission bits, 0o7777.
    public let mode: UInt32
    public let user: UInt32
    public let group: UInt32
    /// Bytes.
    public let size: UInt64
    public let links: UInt32
    public let inode: UInt64
    /// Since the Unix epoch.
    public let modified: Duration
}

/// An entry of a directory.
public struct DirectoryEntry: Hashable, Sendable {
    public let name: String
    public let kind: FileKind
    public let inode: UInt64
}

/// Files of the machine, as its superuser, whether programs run or not.
extension Machine {
    /// The contents of a file.
    public func readFile(_ path: String) async throws(TuxletError) -> [UInt8] {
        let path = try text(path)
        return try await call { (machine) throws(TuxletError) in
            try bytes { tux_read_file(machine, path, $0, $1, $2) }
        }
    }

    /// At most `count` bytes of a file from `offset` on; fewer only at its end.
    public func readFile(_ path: String, offset: UInt64, count: Int) async throws(TuxletError) -> [UInt8] {
        let path = try text(path)
        return try await call { (machine) throws(TuxletError) in
            try bytes { tux_read_range(machine, path, offset, max(count, 0), $0, $1, $2) }
        }
    }

    /// Replaces a file, or makes it and all directories above it.
    public func writeFile(_ path: String, _ bytes: [UInt8], mode: UInt32 = 0o644) async throws(TuxletError) {
        let path = try text(path)
        try await call { (machine) throws(TuxletError) in
            try check { tux_write_file(machine, path, mode, bytes, bytes.count, $0) }
        }
    }

    /// What a path names.
    public func metadata(_ path: String, followingLinks: Bool = true) async throws(TuxletError) -> FileMetadata {
        let path = try text(path)
        return try await call { (machine) throws(TuxletError) in
            var found = tux_metadata()
            try check { tux_file_metadata(machine, path, followingLinks ? 1 : 0, &found, $0) }
            guard let kind = FileKind(found.kind) else { throw .bug("a kind of file that is not known") }
            let modified = Duration.seconds(found.modified_sec) + .nanoseconds(Int64(found.modified_nsec))
            return FileMetadata(
                kind: kind, mode: found.mode, user: found.uid, group: found.gid, size: found.size, links: found.links,
                inode: found.inode, modified: modified)
        }
    }

    /// A directory's entries, without `.` and `..`, in the file system's order.
    public func list(_ path: String) async throws(TuxletError) -> [DirectoryEntry] {
        let path = try text(path)
        return try await call { (machine) throws(TuxletError) in
            var directory: OpaquePointer?
            try check { tux_open_directory(machine, path, &directory, $0) }
            defer { tux_directory_free(directory) }
            var entries: [DirectoryEntry] = []
            while true {
                var entry = tux_entry()
                do throws(TuxletError) {
                    try check { tux_directory_next(directory, &entry, $0) }
                } catch {
                    guard case .closed = error else { throw error }
                    return entries
                }
                guard let kind = FileKind(entry.kind) else { throw .bug("a kind of file that is not known") }
                entries.append(DirectoryEntry(name: String(cString: entry.name), kind: kind, inode: entry.inode))
            }
        }
    }

    /// Makes a directory and what is missing above it; it is no error if it is there.
    public func createDirectory(_ path: String) async throws(TuxletError) {
        let path = try text(path)
        try await call { (machine) throws(TuxletError) in try check { tux_create_directory(machine, path, $0) } }
    }

    /// Removes a file or an empty directory.
    public func remove(_ path: String) async throws(TuxletError) {
        let path = try text(path)
        try await call { (machine) throws(TuxletError) in try check { tux_remove(machine, path, $0) } }
    }

    /// Renames a file or directory, replacing a file that is there.
    public func rename(_ from: String, to: String) async throws(TuxletError) {
        let (from, to) = (try text(from), try text(to))
        try await call { (machine) throws(TuxletError) in try check { tux_rename(machine, from, to, $0) } }
    }

    /// Makes a symbolic link at `path`.
    public func createSymbolicLink(_ path: String, to target: String) async throws(TuxletError) {
        let (path, target) = (try text(path), try text(target))
        try await call { (machine) throws(TuxletError) in try check { tux_symlink(machine, target, path, $0) } }
    }

    /// Where a symbolic link points.
    public func readLink(_ path: String) async throws(TuxletError) -> String {
        let path = try text(path)
        let target = try await call { (machine) throws(TuxletError) in
            try bytes { tux_read_link(machine, path, $0, $1, $2) }
        }
        return String(decoding: target, as: UTF8.self)
    }

    /// Sets permission bits, 0o7777.
    public func setMode(_ path: String, _ mode: UInt32) async throws(TuxletError) {
        let path = try text(path)
        try await call { (machine) throws(TuxletError) in try check { tux_set_mode(machine, path, mode, $0) } }
    }
}
