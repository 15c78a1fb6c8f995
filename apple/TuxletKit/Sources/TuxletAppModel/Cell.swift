/// A colour of a terminal.
public enum TerminalColor: Hashable, Sendable {
    case standard
    /// Of the palette of 256.
    case indexed(UInt8)
    case rgb(UInt8, UInt8, UInt8)
}

/// How characters look.
public struct Style: Hashable, Sendable {
    public var foreground = TerminalColor.standard
    public var background = TerminalColor.standard
    public var isBold = false
    public var isFaint = false
    public var isItalic = false
    public var isUnderlined = false
    public var isInverse = false
    public var isHidden = false
    public var isStruckThrough = false

    public init() {}

    /// Changes it as SGR says (ECMA-48, 8.3.117; 38 and 48 as xterm has them).
    mutating func apply(_ parameters: [Int]) {
        var rest = (parameters.isEmpty ? [0] : parameters)[...]
        while let code = rest.popFirst() {
            switch code {
            case 0: self = Style()
            case 1: isBold = true
            case 2: isFaint = true
            case 3: isItalic = true
            case 4: isUnderlined = true
            case 7: isInverse = true
            case 8: isHidden = true
            case 9: isStruckThrough = true
            case 22: (isBold, isFaint) = (false, false)
            case 23: isItalic = false
            case 24: isUnderlined = false
            case 27: isInverse = false
            case 28: isHidden = false
            case 29: isStruckThrough = false
            case 30...37: foreground = .indexed(UInt8(code - 30))
            case 38: foreground = Self.color(&rest) ?? foreground
            case 39: foreground = .standard
            case 40...47: background = .indexed(UInt8(code - 40))
            case 48: background = Self.color(&rest) ?? background
            case 49: background = .standard
            case 90...97: foreground = .indexed(UInt8(code - 90 + 8))
            case 100...107: background = .indexed(UInt8(code - 100 + 8))
            default: break
            }
        }
    }

    private static func color(_ rest: inout ArraySlice<Int>) -> TerminalColor? {
        switch rest.popFirst() {
        case 5:
            return rest.popFirst().map { .indexed(UInt8(clamping: $0)) }
        case 2:
            guard let r = rest.popFirst(), let g = rest.popFirst(), let b = rest.popFirst() else { return nil }
            return .rgb(UInt8(clamping: r), UInt8(clamping: g), UInt8(clamping: b))
        default:
            return nil
        }
    }
}

/// What is in a place of the screen.
public struct Cell: Hashable, Sendable {
    /// A character with what is combined with it; empty in the second place of a wide one.
    public var text: String
    public var style: Style

    static func blank(_ style: Style) -> Cell {
        // Erasing gives the background's colour, and nothing else of the style.
        var erased = Style()
        erased.background = style.background
        return Cell(text: " ", style: erased)
    }
}

/// Columns that a character takes: 0 for what is combined with the one before it, 2 for wide ones (Unicode's East Asian width, by blocks).
func width(_ scalar: Unicode.Scalar) -> Int {
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .enclosingMark, .format: return 0
    default: break
    }
    switch scalar.value {
    case 0x1100...0x115f, 0x2e80...0x303e, 0x3041...0xa4cf, 0xa960...0xa97c, 0xac00...0xd7a3, 0xf900...0xfaff, 0xfe30...0xfe6f,
        0xff00...0xff60, 0xffe0...0xffe6, 0x1f300...0x1f64f, 0x1f680...0x1f6ff, 0x1f900...0x1faff, 0x20000...0x3fffd:
        return 2
    default:
        return 1
    }
}
