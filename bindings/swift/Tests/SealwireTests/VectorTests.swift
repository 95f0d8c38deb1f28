import Sealwire
import XCTest

final class VectorTests: XCTestCase {
    func testEveryVector() async throws {
        try await judge("Vectors", atLeast: 500)
    }

    /// What other languages have sealed.
    func testTheMatrix() async throws {
        let cases = try await judge("Matrix", atLeast: 12)
        for language in ["rust", "python", "typescript"] {
            XCTAssertTrue(cases.contains { $0.hasPrefix(language) }, language)
        }
    }

    @discardableResult
    private func judge(_ folder: String, atLeast: Int) async throws -> [String] {
        let cases = try Vector.all(in: folder)
        XCTAssertGreaterThanOrEqual(cases.count, atLeast)
        for (name, vector) in cases {
            let outcome = try await vector.judge()
            XCTAssertEqual(outcome, vector.expect, name)
        }
        return cases.map(\.name)
    }
}
