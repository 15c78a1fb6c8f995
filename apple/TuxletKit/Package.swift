// swift-tools-version: 6.0
import PackageDescription

// On Linux the library is linked from where cargo has put it (`-Xlinker -L…`); for Apple's systems `cargo xtask apple` makes the XCFramework.
#if os(Linux)
let library: Target = .systemLibrary(name: "CTuxlet")
#else
let library: Target = .binaryTarget(name: "CTuxlet", path: "CTuxlet.xcframework")
#endif

let package = Package(
    name: "TuxletKit",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [
        .library(name: "TuxletKit", targets: ["TuxletKit"])
    ],
    targets: [
        library,
        .target(name: "TuxletKit", dependencies: ["CTuxlet"]),
        .testTarget(name: "TuxletKitTests", dependencies: ["TuxletKit"]),
    ],
    swiftLanguageModes: [.v6]
)
