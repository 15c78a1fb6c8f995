import TuxletKit

/// The shortcut action "Run Command".
public struct RunCommandAction: Sendable {
    /// Why there is no result.
    public enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        /// The user has not allowed it.
        case notAllowed
        case timedOut(seconds: Int)
        /// The command said that it failed.
        case failed(code: Int32, message: String)
        case machine(TuxletError)

        public var description: String {
            switch self {
            case .notAllowed: "Shortcuts may not run commands. This can be allowed in the settings."
            case .timedOut(let seconds): "The command was ended after \(seconds) seconds."
            case .failed(let code, let message): message.isEmpty ? "The command failed with code \(code)." : message
            case .machine(let error): "\(error)"
            }
        }
    }

    /// Bytes of output that a shortcut gets.
    public static let limit = 1 << 20

    private let machine: Machine
    private let settings: Settings

    public init(machine: Machine, settings: Settings) {
        self.machine = machine
        self.settings = settings
    }

    /// Runs a line for `/bin/sh`; its output, without the last newline.
    public func perform(_ line: String, input: String = "", seconds: Int = 25) async throws(Failure) -> String {
        guard settings.allowsShortcuts else { throw .notAllowed }
        let output: Output
        do throws(TuxletError) {
            output = try await machine.run(
                .shell(line), input: Array(input.utf8), timeout: .seconds(max(seconds, 1)), limit: Self.limit)
        } catch {
            throw .machine(error)
        }
        if output.timedOut { throw .timedOut(seconds: max(seconds, 1)) }
        guard output.status.isSuccess else {
            throw .failed(code: output.status.code, message: Self.trimmed(output.errorText))
        }
        return Self.trimmed(output.text)
    }

    private static func trimmed(_ text: String) -> String {
        text.last == "\n" ? String(text.dropLast()) : text
    }
}
