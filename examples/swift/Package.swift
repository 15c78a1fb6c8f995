// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "Run",
    platforms: [.macOS(.v13)],
    dependencies: [.package(path: "../../apple/TuxletKit")],
    targets: [.executableTarget(name: "Run", dependencies: ["TuxletKit"])],
    swiftLanguageModes: [.v6]
)
