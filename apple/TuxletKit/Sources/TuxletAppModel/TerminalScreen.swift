/// A terminal's screen, without the means to draw it: what xterm shows for the sequences that programs use (the terminfo entry
/// `xterm-256color`).
public struct TerminalScreen: Sendable {
    public private(set) var rows: Int
    public private(set) var columns: Int
    /// The screen's lines, each as long as it is wide.
    public private(set) var lines: [[Cell]]
    /// Lines that have gone out at the top, oldest first.
    public private(set) var scrollback: [[Cell]] = []
    public private(set) var title = ""
    public private(set) var isCursorVisible = true
    /// Whether cursor keys send what they do for applications.
    public private(set) var hasApplicationCursorKeys = false
    /// Whether pasted text is to be put between marks.
    public private(set) var hasBracketedPaste = false
    /// Row and column of the cursor, from 0.
    public var cursor: (row: Int, column: Int) { (row, min(column, columns - 1)) }
    /// Lines kept in ``scrollback``.
    public var scrollbackLimit: Int

    private var row = 0
    /// May be `columns`: the next character wraps.
    private var column = 0
    private var style = Style()
    private var margins: ClosedRange<Int>
    private var wraps = true
    private var saved: (row: Int, column: Int, style: Style) = (0, 0, Style())
    /// The main screen while the alternate one is shown.
    private var main: [[Cell]]?
    private var parser = EscapeParser()
    private var replies: [UInt8] = []

    public init(rows: Int, columns: Int, scrollbackLimit: Int = 10_000) {
        self.rows = max(rows, 1)
        self.columns = max(columns, 1)
        self.scrollbackLimit = scrollbackLimit
        margins = 0...self.rows - 1
        lines = Array(repeating: Array(repeating: .blank(Style()), count: self.columns), count: self.rows)
    }

    /// Shows what a program has written; what the terminal answers is to be written to the program.
    public mutating func show(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        var actions: [TerminalAction] = []
        for byte in bytes {
            parser.feed(byte) { actions.append($0) }
            for action in actions { perform(action) }
            actions.removeAll(keepingCapacity: true)
        }
        defer { replies = [] }
        return replies
    }

    /// A line's text, without blanks at its end.
    public func text(_ line: [Cell]) -> String {
        let text = line.map(\.text).joined()
        return String(text[..<(text.lastIndex { $0 != " " }.map { text.index(after: $0) } ?? text.startIndex)])
    }

    /// The screen's text.
    public var text: String { lines.map(text).joined(separator: "\n") }

    /// Gives the screen another size; lines are cut or filled, and the cursor stays in sight.
    public mutating func resize(rows: Int, columns: Int) {
        let (rows, columns) = (max(rows, 1), max(columns, 1))
        // Lines below the cursor go first, then those at the top.
        let surplus = max(self.row + 1 - rows, 0)
        if main == nil { keep(lines.prefix(surplus)) }
        lines = Self.fitted(Array(lines.dropFirst(surplus)), rows, columns)
        main = main.map { Self.fitted($0, rows, columns) }
        (self.rows, self.columns, margins) = (rows, columns, 0...rows - 1)
        row = min(row - surplus, rows - 1)
        column = min(column, columns)
    }

    private static func fitted(_ lines: [[Cell]], _ rows: Int, _ columns: Int) -> [[Cell]] {
        let blank = Cell.blank(Style())
        var fitted = lines.prefix(rows).map { line in
            Array(line.prefix(columns)) + Array(repeating: blank, count: max(columns - line.count, 0))
        }
        while fitted.count < rows { fitted.append(Array(repeating: blank, count: columns)) }
        return fitted
    }

    private mutating func keep(_ gone: some Sequence<[Cell]>) {
        scrollback.append(contentsOf: gone)
        if scrollback.count > scrollbackLimit { scrollback.removeFirst(scrollback.count - scrollbackLimit) }
    }

    private var blankLine: [Cell] { Array(repeating: .blank(style), count: columns) }

    private mutating func perform(_ action: TerminalAction) {
        switch action {
        case .print(let scalar): print(scalar)
        case .control(let byte): control(byte)
        case .escape(let intermediates, let final): if intermediates.isEmpty { escape(final) }
        case .csi(let mark, let parameters, let intermediates, let final):
            if mark == UInt8(ascii: "?") {
                if final == UInt8(ascii: "h") || final == UInt8(ascii: "l") {
                    for mode in parameters { setMode(mode, final == UInt8(ascii: "h")) }
                }
            } else if mark == 0 && intermediates.isEmpty {
                csi(parameters, Character(Unicode.Scalar(final)))
            }
        case .osc(let text):
            if text.hasPrefix("0;") || text.hasPrefix("2;") { title = String(text.dropFirst(2)) }
        }
    }

    private mutating func print(_ scalar: Unicode.Scalar) {
        let wide = width(scalar)
        if wide == 0 {
            let before = min(column, columns) - 1
            if before >= 0 { lines[row][before].text.unicodeScalars.append(scalar) }
            return
        }
        if column + wide > columns {
            if wraps && columns >= wide {
                column = 0
                lineFeed()
            } else {
                column = max(columns - wide, 0)
            }
        }
        lines[row][column] = Cell(text: String(Character(scalar)), style: style)
        if wide == 2 && column + 1 < columns { lines[row][column + 1] = Cell(text: "", style: style) }
        column += wide
    }

    private mutating func control(_ byte: UInt8) {
        switch byte {
        case 0x08: column = max(min(column, columns - 1) - 1, 0)
        case 0x09: column = min((column / 8 + 1) * 8, columns - 1)
        case 0x0a, 0x0b, 0x0c: lineFeed()
        case 0x0d: column = 0
        default: break
        }
    }

    private mutating func lineFeed() {
        if row == margins.upperBound {
            scrollUp(1)
        } else if row < rows - 1 {
            row += 1
        }
    }

    private mutating func scrollUp(_ count: Int) {
        let count = min(count, margins.count)
        if margins.lowerBound == 0 && main == nil { keep(lines.prefix(count)) }
        remove(count, at: margins.lowerBound)
    }

    /// Takes lines out of the region that scrolls; others come in at its bottom.
    private mutating func remove(_ count: Int, at place: Int) {
        let count = min(count, margins.upperBound - place + 1)
        lines.removeSubrange(place..<place + count)
        lines.insert(contentsOf: Array(repeating: blankLine, count: count), at: margins.upperBound + 1 - count)
    }

    /// Puts lines into the region that scrolls; others go out at its bottom.
    private mutating func insert(_ count: Int, at place: Int) {
        let count = min(count, margins.upperBound - place + 1)
        lines.removeSubrange(margins.upperBound + 1 - count...margins.upperBound)
        lines.insert(contentsOf: Array(repeating: blankLine, count: count), at: place)
    }

    private mutating func escape(_ final: UInt8) {
        switch Character(Unicode.Scalar(final)) {
        case "7": saved = (row, column, style)
        case "8": (row, column, style) = (min(saved.row, rows - 1), min(saved.column, columns), saved.style)
        case "D": lineFeed()
        case "E":
            column = 0
            lineFeed()
        case "M":
            if row == margins.lowerBound { insert(1, at: row) } else { row = max(row - 1, 0) }
        case "c":
            let (rows, columns, limit, kept) = (rows, columns, scrollbackLimit, scrollback)
            self = TerminalScreen(rows: rows, columns: columns, scrollbackLimit: limit)
            scrollback = kept
        default: break
        }
    }

    private mutating func setMode(_ mode: Int, _ on: Bool) {
        switch mode {
        case 1: hasApplicationCursorKeys = on
        case 7: wraps = on
        case 25: isCursorVisible = on
        case 47, 1047: alternate(on)
        case 1048: escape(UInt8(ascii: on ? "7" : "8"))
        case 1049:
            if on { escape(UInt8(ascii: "7")) }
            alternate(on)
            if !on { escape(UInt8(ascii: "8")) }
        case 2004: hasBracketedPaste = on
        default: break
        }
    }

    private mutating func alternate(_ on: Bool) {
        if on, main == nil {
            main = lines
            lines = Array(repeating: blankLine, count: rows)
        } else if !on, let main {
            lines = main
            self.main = nil
        }
    }

    private mutating func csi(_ parameters: [Int], _ final: Character) {
        /// A parameter, or what it is if it is left out.
        func parameter(_ index: Int, _ standard: Int) -> Int {
            parameters.indices.contains(index) && parameters[index] >= 0 ? parameters[index] : standard
        }
        let count = max(parameter(0, 1), 1)
        let place = min(column, columns - 1)
        // Moving the cursor out of the place where the next character would wrap.
        if "ABed".contains(final) { column = place }
        switch final {
        case "A": row = max(row - count, row >= margins.lowerBound ? margins.lowerBound : 0)
        case "B", "e": row = min(row + count, row <= margins.upperBound ? margins.upperBound : rows - 1)
        case "C", "a": column = min(place + count, columns - 1)
        case "D": column = max(place - count, 0)
        case "E": (row, column) = (min(row + count, rows - 1), 0)
        case "F": (row, column) = (max(row - count, 0), 0)
        case "G", "`": column = min(count, columns) - 1
        case "d": row = min(count, rows) - 1
        case "H", "f":
            (row, column) = (min(count, rows) - 1, min(max(parameter(1, 1), 1), columns) - 1)
        case "J":
            switch parameter(0, 0) {
            case 0: erase(from: (row, place), to: (rows - 1, columns - 1))
            case 1: erase(from: (0, 0), to: (row, place))
            case 2: erase(from: (0, 0), to: (rows - 1, columns - 1))
            case 3: scrollback = []
            default: break
            }
        case "K":
            switch parameter(0, 0) {
            case 0: erase(from: (row, place), to: (row, columns - 1))
            case 1: erase(from: (row, 0), to: (row, place))
            case 2: erase(from: (row, 0), to: (row, columns - 1))
            default: break
            }
        case "L": if margins.contains(row) { insert(count, at: row) }
        case "M": if margins.contains(row) { remove(count, at: row) }
        case "S": scrollUp(count)
        case "T": insert(count, at: margins.lowerBound)
        case "@":
            let count = min(count, columns - place)
            lines[row].removeLast(count)
            lines[row].insert(contentsOf: Array(repeating: .blank(style), count: count), at: place)
        case "P":
            let count = min(count, columns - place)
            lines[row].removeSubrange(place..<place + count)
            lines[row].append(contentsOf: Array(repeating: .blank(style), count: count))
        case "X": erase(from: (row, place), to: (row, min(place + count, columns) - 1))
        case "m": style.apply(parameters.map { max($0, 0) })
        case "r":
            let (top, bottom) = (count, min(parameter(1, rows), rows))
            if top < bottom {
                margins = top - 1...bottom - 1
                (row, column) = (0, 0)
            }
        case "s": escape(UInt8(ascii: "7"))
        case "u": escape(UInt8(ascii: "8"))
        case "n":
            if parameter(0, 0) == 5 { replies += Array("\u{1b}[0n".utf8) }
            if parameter(0, 0) == 6 { replies += Array("\u{1b}[\(row + 1);\(place + 1)R".utf8) }
        case "c": if parameter(0, 0) == 0 { replies += Array("\u{1b}[?62;22c".utf8) }
        default: break
        }
    }

    private mutating func erase(from: (row: Int, column: Int), to: (row: Int, column: Int)) {
        let blank = Cell.blank(style)
        for row in from.row...to.row {
            let first = row == from.row ? from.column : 0
            let last = row == to.row ? to.column : columns - 1
            if first <= last { for column in first...last { lines[row][column] = blank } }
        }
    }
}
