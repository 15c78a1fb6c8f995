import SwiftUI
import TuxletAppModel
import TuxletKit

/// Draws a screen and hands keys on; everything else is in `TerminalSession`.
struct TerminalView: View {
    let machine: Machine
    let settings: Settings
    @State private var session: TerminalSession?
    @State private var snapshot: TerminalSession.Snapshot?
    @State private var typed = ""
    @FocusState private var isFocused: Bool

    private var font: Font { .system(size: settings.fontSize, design: .monospaced) }
    private var cell: CGSize {
        let font = UIFont.monospacedSystemFont(ofSize: settings.fontSize, weight: .regular)
        return CGSize(width: ("M" as NSString).size(withAttributes: [.font: font]).width, height: font.lineHeight)
    }

    var body: some View {
        GeometryReader { geometry in
            ScrollView {
                LazyVStack(alignment: .leading, spacing: 0) {
                    if let screen = snapshot?.screen {
                        ForEach(Array((screen.scrollback + screen.lines).enumerated()), id: \.offset) { _, line in
                            Text(attributed(line)).font(font).lineLimit(1).frame(height: cell.height)
                        }
                    }
                }
                .textSelection(.enabled)
            }
            .defaultScrollAnchor(.bottom)
            .onTapGesture { isFocused = true }
            .task(id: size(geometry.size)) { await start(size(geometry.size)) }
        }
        .safeAreaInset(edge: .bottom) { keys }
    }

    private func size(_ view: CGSize) -> TerminalSize {
        TerminalSize(
            rows: UInt16(clamping: max(Int(view.height / cell.height), 1)),
            columns: UInt16(clamping: max(Int(view.width / cell.width), 1)))
    }

    private func start(_ size: TerminalSize) async {
        if let session { return await session.resize(size) }
        let session = TerminalSession(
            machine: machine, command: .shell(settings.shell), size: size, scrollback: settings.scrollback)
        self.session = session
        // They go on when the view has another size, and this task is cancelled.
        Task { await session.run() }
        Task { for await snapshot in session.snapshots { self.snapshot = snapshot } }
    }

    private var keys: some View {
        HStack {
            key("esc", .escape)
            key("tab", .tab)
            key("^C", .control("c"))
            key("^D", .control("d"))
            key("↑", .up)
            key("↓", .down)
            key("←", .left)
            key("→", .right)
            TextField("", text: $typed)
                .focused($isFocused)
                .autocorrectionDisabled()
                .textInputAutocapitalization(.never)
                .onChange(of: typed) { _, text in
                    guard !text.isEmpty else { return }
                    typed = ""
                    Task { await session?.type(text) }
                }
                .onSubmit {
                    isFocused = true
                    press(.enter)
                }
                .onKeyPress(.delete) {
                    press(.backspace)
                    return .handled
                }
            PasteButton(payloadType: String.self) { texts in
                Task { @MainActor in await session?.paste(texts.joined()) }
            }
            .labelStyle(.iconOnly)
        }
        .padding(4)
        .background(.bar)
    }

    private func key(_ title: String, _ key: TerminalKey) -> some View {
        Button(title) { press(key) }.buttonStyle(.bordered)
    }

    private func press(_ key: TerminalKey) {
        Task { await session?.press(key) }
    }

    private func attributed(_ line: [Cell]) -> AttributedString {
        var all = AttributedString()
        for cell in line {
            var piece = AttributedString(cell.text)
            let (front, back) = (color(cell.style.foreground, .primary), color(cell.style.background, .clear))
            piece.foregroundColor = cell.style.isHidden ? .clear : cell.style.isInverse ? (back == .clear ? Color(.systemBackground) : back) : front
            piece.backgroundColor = cell.style.isInverse ? front : back
            if cell.style.isBold { piece.font = font.bold() }
            if cell.style.isItalic { piece.font = (piece.font ?? font).italic() }
            if cell.style.isUnderlined { piece.underlineStyle = .single }
            if cell.style.isStruckThrough { piece.strikethroughStyle = .single }
            all += piece
        }
        return all
    }

    private func color(_ color: TerminalColor, _ standard: Color) -> Color {
        switch color {
        case .standard: return standard
        case .rgb(let red, let green, let blue):
            return Color(red: Double(red) / 255, green: Double(green) / 255, blue: Double(blue) / 255)
        case .indexed(let index):
            let (red, green, blue) = TerminalPalette.color(index)
            return self.color(.rgb(red, green, blue), standard)
        }
    }
}
