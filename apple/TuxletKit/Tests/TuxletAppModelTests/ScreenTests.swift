import Testing

@testable import TuxletAppModel

private func shown(_ text: String, rows: Int = 4, columns: Int = 10) -> TerminalScreen {
    var screen = TerminalScreen(rows: rows, columns: columns)
    _ = screen.show(text.utf8)
    return screen
}

private let esc = "\u{1b}"

@Suite struct ScreenTests {
    @Test func linesWrapAndScroll() {
        let screen = shown("0123456789ab\r\nc\r\nd\r\ne")
        #expect(screen.text == "ab\nc\nd\ne")
        #expect(screen.scrollback.map(screen.text) == ["0123456789"])
        #expect(screen.cursor == (3, 1))
        // The last column is written before the line is wrapped.
        #expect(shown("0123456789").cursor == (0, 9))
        #expect(shown("0123456789\r\nx").text == "0123456789\nx\n\n")
        #expect(shown("\(esc)[?7l0123456789ab").text == "012345678b\n\n\n")
        var limited = TerminalScreen(rows: 1, columns: 5, scrollbackLimit: 2)
        _ = limited.show("a\r\nb\r\nc\r\nd".utf8)
        #expect(limited.scrollback.map(limited.text) == ["b", "c"])
    }

    @Test func cursorsMoveAndTextIsErased() {
        #expect(shown("abc\(esc)[2;3Hx\(esc)[Ay\(esc)[5Dz").text == "abcy\n  x\n\n".replacing("abcy", with: "zbcy"))
        #expect(shown("abcdef\(esc)[3G\(esc)[K").text == "ab\n\n\n")
        #expect(shown("abcdef\(esc)[3G\(esc)[1K").text == "   def\n\n\n")
        #expect(shown("a\r\nb\r\nc\(esc)[2;1H\(esc)[J").text == "a\n\n\n")
        #expect(shown("abcdef\(esc)[2G\(esc)[2P").text == "adef\n\n\n")
        #expect(shown("abcdef\(esc)[2G\(esc)[2@").text == "a  bcdef\n\n\n")
        #expect(shown("abcdef\(esc)[2G\(esc)[3X").text == "a   ef\n\n\n")
        #expect(shown("a\tb\u{8}c").text == "a       c\n\n\n")
        #expect(shown("a\(esc)7\(esc)[4;4Hb\(esc)8c").text == "ac\n\n\n   b")
        #expect(shown("\(esc)[99;99Hx\(esc)[99Ay").cursor.row == 0)
    }

    @Test func regionsScroll() {
        let four = "1\r\n2\r\n3\r\n4"
        #expect(shown("\(four)\(esc)[2;3r\(esc)[3;1H\n").text == "1\n3\n\n4")
        #expect(shown("\(four)\(esc)[2;3r\(esc)[2;1H\(esc)M").text == "1\n\n2\n4")
        #expect(shown("\(four)\(esc)[2;1H\(esc)[L").text == "1\n\n2\n3")
        #expect(shown("\(four)\(esc)[2;1H\(esc)[2M").text == "1\n4\n\n")
        #expect(shown("\(four)\(esc)[S").text == "2\n3\n4\n")
        #expect(shown("\(four)\(esc)[2T").text == "\n\n1\n2")
    }

    @Test func styles() {
        let screen = shown("\(esc)[1;31ma\(esc)[48;5;200mb\(esc)[38;2;1;2;3mc\(esc)[0md\(esc)[97;4;7me\(esc)[22;24;27;39mf")
        let cells = screen.lines[0]
        #expect(cells[0].style.isBold && cells[0].style.foreground == .indexed(1))
        #expect(cells[1].style.background == .indexed(200) && cells[1].style.isBold)
        #expect(cells[2].style.foreground == .rgb(1, 2, 3))
        #expect(cells[3].style == Style())
        #expect(cells[4].style.foreground == .indexed(15) && cells[4].style.isUnderlined && cells[4].style.isInverse)
        #expect(cells[5].style == Style())
        // What is erased has the background's colour only.
        let erased = shown("\(esc)[1;44m\(esc)[K").lines[0][3].style
        #expect(erased.background == .indexed(4) && !erased.isBold)
    }

    @Test func charactersInPiecesAndWide() {
        var screen = TerminalScreen(rows: 2, columns: 6)
        for byte in "é漢e\u{301}😀".utf8 { _ = screen.show([byte]) }
        #expect(screen.lines[0].map(\.text) == ["é", "漢", "", "e\u{301}", "😀", ""])
        #expect(screen.text == "é漢e\u{301}😀\n")
        // A wide one does not fit into the last column.
        #expect(shown("12345漢", rows: 2, columns: 6).text == "12345\n漢")
        #expect(shown("12345漢", rows: 2, columns: 1).rows == 2)
        var broken = TerminalScreen(rows: 1, columns: 6)
        _ = broken.show([0x61, 0xe6, 0xbc, 0x62, 0xff, 0x63])
        #expect(broken.text == "a\u{fffd}b\u{fffd}c")
    }

    @Test func modesTitlesAndAnswers() {
        var screen = shown("main\(esc)[?1049h\(esc)[Hfull\(esc)[?25l\(esc)[?1h\(esc)[?2004h\(esc)]0;title\u{7}")
        #expect(screen.text == "full\n\n\n" && screen.title == "title")
        #expect(!screen.isCursorVisible && screen.hasApplicationCursorKeys && screen.hasBracketedPaste)
        #expect(screen.show("\(esc)[?1049l".utf8).isEmpty)
        #expect(screen.text == "main\n\n\n" && screen.cursor == (0, 4))
        #expect(screen.show("\(esc)[2;3H\(esc)[6n\(esc)[5n\(esc)[c".utf8) == Array("\(esc)[2;3R\(esc)[0n\(esc)[?62;22c".utf8))
        #expect(shown("\(esc)]2;a\(esc)\\b").text == "b\n\n\n")
        #expect(shown("\(esc)P1$r0m\(esc)\\b\(esc)(Bc\(esc)[>1;2md\(esc)[1 qe").text == "bcde\n\n\n")
        #expect(shown("x\(esc)cy").text == "y\n\n\n")
    }

    @Test func resizing() {
        var screen = shown("1\r\n2\r\n3\r\n4")
        screen.resize(rows: 2, columns: 5)
        #expect(screen.text == "3\n4" && screen.scrollback.count == 2 && screen.cursor == (1, 1))
        screen.resize(rows: 3, columns: 20)
        #expect(screen.text == "3\n4\n" && screen.lines.allSatisfy { $0.count == 20 })
        screen.resize(rows: 0, columns: 0)
        #expect(screen.rows == 1 && screen.columns == 1)
    }

    /// Whatever a program writes, the screen keeps its shape.
    @Test func nothingBreaksIt() {
        var generator = UInt64(42)
        func random(_ below: Int) -> Int {
            generator = generator &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(generator >> 33) % below
        }
        let pieces = ["\(esc)[", "\(esc)", "\(esc)]", ";", "?", "99999", "0", "1", "5", "漢", "é", "\n", "\r", "\t", "\u{8}", "\u{7}"]
        let finals = Array("ABCDEFGHJKLMPSTX@`abcdefhlmnrsu78DEMc")
        var screen = TerminalScreen(rows: 5, columns: 7, scrollbackLimit: 50)
        for _ in 0..<50_000 {
            let bytes =
                switch random(3) {
                case 0: Array(pieces[random(pieces.count)].utf8)
                case 1: Array(String(finals[random(finals.count)]).utf8)
                default: [UInt8(random(256))]
                }
            _ = screen.show(bytes)
            if random(1000) == 0 { screen.resize(rows: random(9), columns: random(9)) }
            let (row, column) = screen.cursor
            guard screen.lines.count == screen.rows, screen.lines.allSatisfy({ $0.count == screen.columns }),
                (0..<screen.rows).contains(row), (0..<screen.columns).contains(column), screen.scrollback.count <= 50
            else {
                Issue.record("it has lost its shape")
                return
            }
        }
    }
}
