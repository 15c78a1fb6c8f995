/// xterm's palette of 256 colours.
public enum TerminalPalette {
    private static let first: [(UInt8, UInt8, UInt8)] = [
        (0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0), (0, 0, 238), (205, 0, 205), (0, 205, 205), (229, 229, 229),
        (127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0), (92, 92, 255), (255, 0, 255), (0, 255, 255), (255, 255, 255),
    ]

    /// Red, green and blue.
    public static func color(_ index: UInt8) -> (UInt8, UInt8, UInt8) {
        switch index {
        case 0..<16: return first[Int(index)]
        case 16..<232:
            // A cube of 6 by 6 by 6.
            func level(_ step: UInt8) -> UInt8 { step == 0 ? 0 : 55 + 40 * step }
            let place = index - 16
            return (level(place / 36), level(place / 6 % 6), level(place % 6))
        default:
            let grey = 8 + 10 * (index - 232)
            return (grey, grey, grey)
        }
    }
}
