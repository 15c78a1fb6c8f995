import AppIntents
import TuxletAppModel

/// The shortcut action; what it does is in `RunCommandAction`.
struct RunCommandIntent: AppIntent {
    static let title: LocalizedStringResource = "Run Command"
    static let description = IntentDescription("Runs a command in the Linux of this app and gives what it prints.")
    static let openAppWhenRun = false

    @Parameter(title: "Command") var command: String
    @Parameter(title: "Input", default: "") var input: String
    @Parameter(title: "Seconds", default: 25, inclusiveRange: (1, 25)) var seconds: Int

    @MainActor
    func perform() async throws -> some IntentResult & ReturnsValue<String> {
        let host = MachineHost.shared
        guard let machine = await host.open() else { throw RunCommandUnavailable(reason: host.failure ?? "") }
        do {
            let action = RunCommandAction(machine: machine, settings: host.settings)
            return .result(value: try await action.perform(command, input: input, seconds: seconds))
        } catch {
            throw RunCommandUnavailable(reason: "\(error)")
        }
    }
}

struct RunCommandUnavailable: Error, CustomLocalizedStringResourceConvertible {
    let reason: String
    var localizedStringResource: LocalizedStringResource { "\(reason)" }
}

struct TuxletShortcuts: AppShortcutsProvider {
    static var appShortcuts: [AppShortcut] {
        AppShortcut(
            intent: RunCommandIntent(), phrases: ["Run a command in \(.applicationName)"], shortTitle: "Run Command",
            systemImageName: "terminal")
    }
}
