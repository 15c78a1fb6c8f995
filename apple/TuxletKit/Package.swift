// swift-tools-version: 6.0
import PackageDescription

// On Linux the library is linked from where cargo has put it (`-Xlinker -L…`); for Apple's systems `cargo xtask apple` makes the XCFramework.
#if os(Linux)
let library: Target = .systemLibrary(name: "CTuxlet")
#else
let library: Target = .binaryTarget(name: "CTuxlet", path: "CTuxlet.xcframework")
#endif

// On Linux `crates/ffi/tests/objc.rs` builds the Objective-C class, for GNUstep.
#if os(Linux)
let objectiveC: [Target] = []
let objectiveCProducts: [Product] = []
#else
let objectiveC: [Target] = [.target(name: "TLXShell", dependencies: ["CTuxlet"])]
let objectiveCProducts: [Product] = [.library(name: "TLXShell", targets: ["TLXShell"])]
#endif

let package = Package(
    name: "TuxletKit",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [
        .library(name: "TuxletKit", targets: ["TuxletKit"]),
        .library(name: "TuxletAppModel", targets: ["TuxletAppModel"]),
    ] + objectiveCProducts,
    targets: [
        library,
        .target(name: "TuxletKit", dependencies: ["CTuxlet"]),
        .target(name: "TuxletAppModel", dependencies: ["TuxletKit"]),
        .testTarget(name: "TuxletKitTests", dependencies: ["TuxletKit", "TestSupport"]),
        .testTarget(name: "TuxletAppModelTests", dependencies: ["TuxletAppModel", "TestSupport"]),
        .target(name: "TestSupport", dependencies: ["TuxletKit"], path: "Tests/TestSupport"),
    ] + objectiveC,
    swiftLanguageModes: [.v6]
)
