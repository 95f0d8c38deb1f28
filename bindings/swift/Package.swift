// swift-tools-version:5.9
// `package.sh` puts what is generated and built beside this: without it there is nothing to link.
import PackageDescription

#if os(Linux)
// The shared library, found again at run time where it lies now. SEALWIRE_LINK=static takes the archive instead, and nothing has to be found.
let isStatic = Context.environment["SEALWIRE_LINK"] == "static"
let library = Context.packageDirectory + (isStatic ? "/lib/static" : "/lib")
let boundary = Target.target(
    name: "sealwireFFI",
    path: "Sources/sealwireFFI",
    linkerSettings: [
        .linkedLibrary("sealwire_bindings"),
        .unsafeFlags(["-L" + library] + (isStatic ? [] : ["-Xlinker", "-rpath", "-Xlinker", library])),
    ]
)
#else
// What `xcframework.sh` makes on an Apple machine.
let boundary = Target.binaryTarget(name: "sealwireFFI", path: "SealwireFFI.xcframework")
#endif

let package = Package(
    name: "sealwire",
    platforms: [.macOS(.v12), .iOS(.v15)],
    products: [.library(name: "Sealwire", targets: ["Sealwire"])],
    targets: [
        boundary,
        // Generated. It stands in a module of its own, so that its names are nobody's.
        .target(name: "SealwireRaw", dependencies: ["sealwireFFI"], path: "Sources/SealwireRaw"),
        .target(name: "Sealwire", dependencies: ["SealwireRaw"], path: "Sources/Sealwire"),
        .testTarget(
            name: "SealwireTests",
            dependencies: ["Sealwire", "SealwireRaw"],
            path: "Tests/SealwireTests",
            resources: [.copy("Vectors"), .copy("Matrix"), .copy("cases.json")]
        ),
        .executableTarget(name: "first", dependencies: ["Sealwire"], path: "Examples/first"),
        .executableTarget(name: "files", dependencies: ["Sealwire"], path: "Examples/files"),
        .executableTarget(name: "client", dependencies: ["Sealwire"], path: "Examples/client"),
    ]
)
