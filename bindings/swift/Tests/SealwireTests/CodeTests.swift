import Sealwire
import SealwireRaw
import XCTest

final class CodeTests: XCTestCase {
    /// The library's own list, which Rust checks against core's.
    func testTheCodesAreTheLibrarys() {
        let known = Set(Sealwire.SealwireError.Code.allCases.map(\.rawValue)).subtracting(["internal"])
        XCTAssertEqual(known, Set(SealwireRaw.errorCodes()))
    }
}
