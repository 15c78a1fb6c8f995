import TuxletKit

/// A machine's files as a file provider wants them: items with identifiers, and changes since an anchor.
public actor GuestFiles {
    /// An item. Its identifier is its path, so it changes when the item is renamed.
    public struct Item: Hashable, Sendable {
        public let identifier: String
        public let parent: String
        public let name: String
        public let metadata: FileMetadata
    }

    /// What has changed since an anchor.
    public struct Changes: Hashable, Sendable {
        public var updated: Set<String> = []
        public var deleted: Set<String> = []
        /// For the next time.
        public var anchor: UInt64 = 0
    }

    /// The directory that is provided; nothing outside of it is.
    public nonisolated let root: String
    private let machine: Machine
    private let record: FileChanges
    /// Changes that were read, with their anchors.
    private var log: [(anchor: UInt64, change: FileChange)] = []
    private var anchor: UInt64 = 0
    /// Changes up to here are not known any more.
    private var forgotten: UInt64 = 0

    /// Changes that are kept.
    private static let kept = 10_000

    public init(machine: Machine, root: String) throws(TuxletError) {
        self.machine = machine
        self.root = root
        record = try machine.trackChanges(capacity: Self.kept)
    }

    /// The path, if it is in the directory that is provided.
    private func inside(_ identifier: String) throws(TuxletError) -> String {
        let isInside = identifier == root || identifier.hasPrefix(root == "/" ? "/" : root + "/")
        guard isInside, !identifier.split(separator: "/").contains("..") else {
            throw .failed(.EACCES, "\(identifier) is not provided")
        }
        return identifier
    }

    public func item(_ identifier: String) async throws(TuxletError) -> Item {
        let path = try inside(identifier)
        let metadata = try await machine.metadata(path, followingLinks: false)
        let name = path.split(separator: "/").last.map(String.init) ?? "/"
        return Item(identifier: path, parent: path == root ? path : Self.parent(path), name: name, metadata: metadata)
    }

    private static func parent(_ path: String) -> String {
        let parent = path[..<(path.lastIndex(of: "/") ?? path.startIndex)]
        return parent.isEmpty ? "/" : String(parent)
    }

    /// The identifier of an item in a directory.
    public nonisolated func identifier(of name: String, in parent: String) -> String {
        parent == "/" ? "/\(name)" : "\(parent)/\(name)"
    }

    /// Files, directories and links of a directory, by name.
    public func children(_ parent: String) async throws(TuxletError) -> [Item] {
        var items: [Item] = []
        for entry in try await machine.list(try inside(parent)) {
            guard [.file, .directory, .symbolicLink].contains(entry.kind) else { continue }
            do throws(TuxletError) {
                items.append(try await item(identifier(of: entry.name, in: parent)))
            } catch {
                // Removed meanwhile.
                guard error.errno == .ENOENT else { throw error }
            }
        }
        return items.sorted { $0.name < $1.name }
    }

    public func contents(_ identifier: String) async throws(TuxletError) -> [UInt8] {
        try await machine.readFile(try inside(identifier))
    }

    /// Makes or replaces a file.
    public func put(_ name: String, in parent: String, _ bytes: [UInt8]) async throws(TuxletError) -> Item {
        let path = try inside(identifier(of: name, in: try inside(parent)))
        try await machine.writeFile(path, bytes)
        return try await item(path)
    }

    public func createDirectory(_ name: String, in parent: String) async throws(TuxletError) -> Item {
        let path = try inside(identifier(of: name, in: try inside(parent)))
        try await machine.createDirectory(path)
        return try await item(path)
    }

    public func move(_ identifier: String, to name: String, in parent: String) async throws(TuxletError) -> Item {
        let path = try inside(self.identifier(of: name, in: try inside(parent)))
        try await machine.rename(try inside(identifier), to: path)
        return try await item(path)
    }

    /// Removes an item, and of a directory all that is in it; links are not followed.
    public func delete(_ identifier: String) async throws(TuxletError) {
        let path = try inside(identifier)
        if try await machine.metadata(path, followingLinks: false).kind == .directory {
            for entry in try await machine.list(path) {
                try await delete(self.identifier(of: entry.name, in: path))
            }
        }
        try await machine.remove(path)
    }

    /// Where changes are read from.
    public func currentAnchor() throws(TuxletError) -> UInt64 {
        try drain()
        return anchor
    }

    /// What has changed; nil if so much has that everything has to be looked at again.
    public func changes(since: UInt64) throws(TuxletError) -> Changes? {
        try drain()
        guard since >= forgotten, since <= anchor else { return nil }
        var changes = Changes(anchor: anchor)
        func exists(_ path: String, _ there: Bool) {
            guard (try? inside(path)) != nil else { return }
            if there {
                changes.deleted.remove(path)
                changes.updated.insert(path)
            } else {
                changes.updated.remove(path)
                changes.deleted.insert(path)
            }
        }
        for (at, change) in log where at > since {
            switch change.kind {
            case .created, .written, .truncated: exists(change.path, true)
            case .removed: exists(change.path, false)
            case .renamed:
                exists(change.path, false)
                if let to = change.otherPath { exists(to, true) }
            case .exchanged:
                exists(change.path, true)
                if let to = change.otherPath { exists(to, true) }
            }
        }
        return changes
    }

    private func drain() throws(TuxletError) {
        while let change = try record.nextWaiting() {
            anchor += 1
            log.append((anchor, change))
        }
        let lost = record.takeDropped()
        if lost > 0 {
            anchor += 1
            log = []
            forgotten = anchor
        }
        if log.count > Self.kept {
            log.removeFirst(log.count - Self.kept)
            forgotten = log[0].anchor - 1
        }
    }
}
