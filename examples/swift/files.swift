// Seals a file under a passphrase, reads a part of it, and opens it again, with small memory. `swift run files`
import Foundation
import Sealwire

let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
let (plain, sealed, opened) = (folder.appendingPathComponent("film"), folder.appendingPathComponent("film.sealed"), folder.appendingPathComponent("again"))
try Data(repeating: 7, count: 5_000_000).write(to: plain)
for file in [sealed, opened] { _ = FileManager.default.createFile(atPath: file.path, contents: nil) }

let passphrase = try Passphrase("seven words that somebody wrote on paper")
let context = SealContext("backup", "film")
try FileHandle(forReadingFrom: plain).seal(
    into: FileHandle(forWritingTo: sealed),
    to: passphrase,
    context: context,
    options: .init(filename: "film"),
    length: 5_000_000
)

let blob = try await SealedBlob.open(FileSource(FileHandle(forReadingFrom: sealed)), with: passphrase, context: context)
print("\(try await blob.read(1_000_000..<1_000_010).count) bytes from the middle of \(blob.length)")

let finished = try FileHandle(forReadingFrom: sealed).open(into: FileHandle(forWritingTo: opened), with: passphrase, context: context)
print("\(finished.about.filename ?? "a file") is whole again: \(try Data(contentsOf: opened) == Data(contentsOf: plain))")
try FileManager.default.removeItem(at: folder)
