/// What a program tells a terminal.
enum TerminalAction: Hashable {
    case print(Unicode.Scalar)
    /// A control character.
    case control(UInt8)
    /// ESC, what is between, and the last character.
    case escape(intermediates: [UInt8], final: UInt8)
    /// CSI: the private mark (0: none), parameters (-1: left out), what is between, and the last character.
    case csi(mark: UInt8, parameters: [Int], intermediates: [UInt8], final: UInt8)
    /// OSC, for titles and the like.
    case osc(String)
}

/// Takes bytes apart as a VT500 does: https://vt100.net/emu/dec_ansi_parser. Characters may come in pieces.
struct EscapeParser: Sendable {
    private enum State {
        case ground, escape, csi, ignoredCSI, osc, oscEscape, string, stringEscape
    }

    private var state = State.ground
    private var mark: UInt8 = 0
    private var parameters: [Int] = []
    private var intermediates: [UInt8] = []
    private var text: [UInt8] = []
    private var waiting: [UInt8] = []
    private var needed = 0

    /// Most parameters of a sequence, and bytes of a string; what is more is dropped.
    private static let most = (parameters: 32, text: 4096)

    mutating func feed(_ byte: UInt8, _ act: (TerminalAction) -> Void) {
        if state == .ground, needed > 0 || byte >= 0x80 {
            character(byte, act)
            return
        }
        // These count wherever they come.
        switch (byte, state) {
        case (0x18, _), (0x1a, _):
            state = .ground
            return
        case (0x1b, .osc):
            state = .oscEscape
            return
        case (0x1b, .string):
            state = .stringEscape
            return
        case (0x1b, _):
            begin(.escape)
            return
        case (0x00..<0x20, .ground), (0x00..<0x20, .escape), (0x00..<0x20, .csi), (0x00..<0x20, .ignoredCSI):
            act(.control(byte))
            return
        default:
            break
        }
        switch state {
        case .ground:
            if byte != 0x7f { act(.print(Unicode.Scalar(byte))) }
        case .escape:
            escape(byte, act)
        case .csi:
            csi(byte, act)
        case .ignoredCSI:
            if byte >= 0x40 { state = .ground }
        case .osc:
            if byte == 0x07 {
                act(.osc(String(decoding: text, as: UTF8.self)))
                state = .ground
            } else if text.count < Self.most.text {
                text.append(byte)
            }
        case .oscEscape:
            act(.osc(String(decoding: text, as: UTF8.self)))
            begin(.escape)
            if byte == UInt8(ascii: "\\") { state = .ground } else { escape(byte, act) }
        case .string:
            break
        case .stringEscape:
            begin(.escape)
            if byte == UInt8(ascii: "\\") { state = .ground } else { escape(byte, act) }
        }
    }

    private mutating func begin(_ next: State) {
        (state, mark, parameters, intermediates, text) = (next, 0, [], [], [])
    }

    private mutating func escape(_ byte: UInt8, _ act: (TerminalAction) -> Void) {
        switch byte {
        case 0x20...0x2f: intermediates.append(byte)
        case UInt8(ascii: "[") where intermediates.isEmpty: begin(.csi)
        case UInt8(ascii: "]") where intermediates.isEmpty: begin(.osc)
        case UInt8(ascii: "P"), UInt8(ascii: "X"), UInt8(ascii: "^"), UInt8(ascii: "_"): begin(.string)
        default:
            act(.escape(intermediates: intermediates, final: byte))
            state = .ground
        }
    }

    private mutating func csi(_ byte: UInt8, _ act: (TerminalAction) -> Void) {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"):
            if parameters.isEmpty { parameters.append(-1) }
            let digit = Int(byte - UInt8(ascii: "0"))
            let last = parameters.count - 1
            parameters[last] = min(max(parameters[last], 0) * 10 + digit, 65535)
        case UInt8(ascii: ";"), UInt8(ascii: ":"):
            if parameters.isEmpty { parameters.append(-1) }
            if parameters.count < Self.most.parameters { parameters.append(-1) } else { state = .ignoredCSI }
        case 0x3c...0x3f:
            if parameters.isEmpty && mark == 0 { mark = byte } else { state = .ignoredCSI }
        case 0x20...0x2f:
            intermediates.append(byte)
        case 0x40...0x7e:
            act(.csi(mark: mark, parameters: parameters, intermediates: intermediates, final: byte))
            state = .ground
        default:
            break
        }
    }

    /// A byte of a character of several, or what comes in its place.
    private mutating func character(_ byte: UInt8, _ act: (TerminalAction) -> Void) {
        if needed > 0 && !(0x80...0xbf).contains(byte) {
            // Cut short: the byte begins something else.
            (waiting, needed) = ([], 0)
            act(.print("\u{fffd}"))
            feed(byte, act)
            return
        }
        waiting.append(byte)
        if waiting.count == 1 {
            needed =
                switch byte {
                case 0xc2...0xdf: 2
                case 0xe0...0xef: 3
                case 0xf0...0xf4: 4
                default: 1
                }
        }
        guard waiting.count == needed else { return }
        for scalar in String(decoding: waiting, as: UTF8.self).unicodeScalars { act(.print(scalar)) }
        (waiting, needed) = ([], 0)
    }
}
