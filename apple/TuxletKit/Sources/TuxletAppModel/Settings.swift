import Foundation

/// What the user can set.
public struct Settings: Codable, Hashable, Sendable {
    public enum Theme: String, Codable, CaseIterable, Sendable {
        case system, light, dark
    }

    public var fontSize = 14.0
    public var theme = Theme.system
    /// What new terminals run.
    public var shell = "exec /bin/sh -l"
    /// Lines that can be scrolled back to.
    public var scrollback = 10_000
    /// MiB that all programs may use together.
    public var memory = 512
    /// Whether the app's documents are shown in the machine, at `/mnt/documents`.
    public var sharesDocuments = false
    /// Whether shortcuts may run commands.
    public var allowsShortcuts = false

    public init() {}

    /// What is missing is as it is at first; what is out of range is brought into it.
    public init(from decoder: any Decoder) throws {
        let stored = try decoder.container(keyedBy: CodingKeys.self)
        fontSize = min(max(try stored.decodeIfPresent(Double.self, forKey: .fontSize) ?? fontSize, 6), 40)
        theme = (try? stored.decodeIfPresent(Theme.self, forKey: .theme)) ?? theme
        shell = try stored.decodeIfPresent(String.self, forKey: .shell) ?? shell
        scrollback = min(max(try stored.decodeIfPresent(Int.self, forKey: .scrollback) ?? scrollback, 0), 1_000_000)
        memory = min(max(try stored.decodeIfPresent(Int.self, forKey: .memory) ?? memory, 64), 8192)
        sharesDocuments = try stored.decodeIfPresent(Bool.self, forKey: .sharesDocuments) ?? sharesDocuments
        allowsShortcuts = try stored.decodeIfPresent(Bool.self, forKey: .allowsShortcuts) ?? allowsShortcuts
    }

    /// Settings that were stored, or those at first if they cannot be read.
    public static func stored(_ data: Data?) -> Settings {
        data.flatMap { try? JSONDecoder().decode(Settings.self, from: $0) } ?? Settings()
    }

    public func data() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return try encoder.encode(self)
    }
}
