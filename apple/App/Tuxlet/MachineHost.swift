import SwiftUI
import TuxletAppModel
import TuxletKit
import UIKit

/// The app's machine and what the user has set. All that it does itself is to ask the system for things.
@MainActor @Observable
final class MachineHost {
    static let shared = MachineHost()

    private(set) var machine: Machine?
    private(set) var failure: String?
    var settings: Settings {
        didSet { UserDefaults.standard.set(try? settings.data(), forKey: "settings") }
    }
    private var lifecycle: Lifecycle?
    private var opening: Task<Machine, any Error>?

    private init() {
        settings = Settings.stored(UserDefaults.standard.data(forKey: "settings"))
        NotificationCenter.default.addObserver(
            forName: UIApplication.didReceiveMemoryWarningNotification, object: nil, queue: .main
        ) { [weak self] _ in
            MainActor.assumeIsolated { _ = self?.lifecycle?.memoryWarning() }
        }
    }

    var colorScheme: ColorScheme? {
        switch settings.theme {
        case .system: nil
        case .light: .light
        case .dark: .dark
        }
    }

    /// The machine, started when it is asked for first, be it by a window or a shortcut.
    @discardableResult
    func open() async -> Machine? {
        let task = opening ?? Task { try await start() }
        opening = task
        do {
            let machine = try await task.value
            self.machine = machine
            if lifecycle == nil { lifecycle = Lifecycle(machine: machine) }
            failure = nil
        } catch {
            opening = nil
            failure = "\(error)"
        }
        return machine
    }

    /// The store is the app's own, not that of an app group: the system ends apps that hold locks there in the background.
    private func start() async throws -> Machine {
        let files = FileManager.default
        let support = try files.url(for: .applicationSupportDirectory, in: .userDomainMask, appropriateFor: nil, create: true)
        let store = support.appending(path: "Root", directoryHint: .isDirectory)
        if !files.fileExists(atPath: store.path) {
            guard let bundled = Bundle.main.url(forResource: "Root", withExtension: nil) else {
                throw CocoaError(.fileNoSuchFile, userInfo: [NSFilePathErrorKey: "Root"])
            }
            let copy = support.appending(path: "Root.new", directoryHint: .isDirectory)
            try? files.removeItem(at: copy)
            try files.copyItem(at: bundled, to: copy)
            try files.moveItem(at: copy, to: store)
        }
        var configuration = Configuration(root: .store(store.path))
        configuration.memory = UInt64(settings.memory) << 20
        if settings.sharesDocuments {
            let documents = try files.url(for: .documentDirectory, in: .userDomainMask, appropriateFor: nil, create: true)
            configuration.mounts = [.init(host: documents.path, guest: "/mnt/documents", isReadOnly: false)]
        }
        return try await Machine.start(configuration)
    }

    func enterBackground() {
        guard let lifecycle else { return }
        var task = UIBackgroundTaskIdentifier.invalid
        let end = {
            UIApplication.shared.endBackgroundTask(task)
            task = .invalid
        }
        task = UIApplication.shared.beginBackgroundTask(expirationHandler: end)
        Task {
            await lifecycle.enterBackground()
            end()
        }
    }

    func enterForeground() {
        guard let lifecycle else { return }
        Task {
            if case .failed(let error) = await lifecycle.enterForeground() { failure = "\(error)" }
        }
    }
}
