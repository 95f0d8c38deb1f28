import Sealwire
import XCTest

final class VectorTests: XCTestCase {
    func testEveryVector() async throws {
        let cases = try Vector.all(in: "Vectors")
        XCTAssertGreaterThanOrEqual(cases.count, 500)
        for (name, vector) in cases {
            let outcome = try await vector.judge()
            XCTAssertEqual(outcome, vector.expect, name)
        }
    }
}
