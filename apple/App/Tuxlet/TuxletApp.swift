import SwiftUI

@main
struct TuxletApp: App {
    @Environment(\.scenePhase) private var scenePhase
    @State private var host = MachineHost.shared

    var body: some Scene {
        WindowGroup {
            ContentView(host: host)
                .preferredColorScheme(host.colorScheme)
                .task { await host.open() }
        }
        .onChange(of: scenePhase) { _, phase in
            switch phase {
            case .background: host.enterBackground()
            case .active: host.enterForeground()
            default: break
            }
        }
    }
}
