import SwiftUI
import TuxletAppModel
import TuxletKit

struct ContentView: View {
    let host: MachineHost
    @State private var showsSettings = false

    var body: some View {
        NavigationStack {
            Group {
                if let machine = host.machine {
                    TerminalView(machine: machine, settings: host.settings)
                } else if let failure = host.failure {
                    ContentUnavailableView("The machine does not start", systemImage: "exclamationmark.triangle", description: Text(failure))
                } else {
                    ProgressView()
                }
            }
            .toolbar {
                Button("Settings", systemImage: "gear") { showsSettings = true }
            }
            .sheet(isPresented: $showsSettings) { SettingsView(host: host) }
        }
    }
}

struct SettingsView: View {
    @Bindable var host: MachineHost
    @Environment(\.dismiss) private var dismiss

    var body: some View {
        NavigationStack {
            Form {
                Section("Terminal") {
                    Stepper("Font size: \(Int(host.settings.fontSize))", value: $host.settings.fontSize, in: 6...40)
                    Picker("Appearance", selection: $host.settings.theme) {
                        ForEach(Settings.Theme.allCases, id: \.self) { Text($0.rawValue.capitalized) }
                    }
                    TextField("Shell", text: $host.settings.shell).autocorrectionDisabled()
                }
                Section {
                    Stepper("Memory: \(host.settings.memory) MiB", value: $host.settings.memory, in: 64...8192, step: 64)
                    Toggle("Documents at /mnt/documents", isOn: $host.settings.sharesDocuments)
                } footer: {
                    Text("Counts from the next start of the app.")
                }
                Section {
                    Toggle("Shortcuts may run commands", isOn: $host.settings.allowsShortcuts)
                }
            }
            .navigationTitle("Settings")
            .toolbar { Button("Done") { dismiss() } }
        }
    }
}
