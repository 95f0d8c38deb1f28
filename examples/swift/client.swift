// Calls an API through sealed exchanges: `swift run client https://api.example.com/notes/17 sealwire-pin1…`
// Without arguments it only shows that a URL that no rule covers does not go out.
import Foundation
import Sealwire

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

let arguments = CommandLine.arguments.dropFirst()
let url = URL(string: arguments.first ?? "https://api.example.com/notes/17")!
let origin = url.absoluteString.components(separatedBy: url.path).first!
let services: [String: ServiceTrust] = arguments.count > 1 ? [origin: .pins([arguments.last!])] : [:]
let rules = arguments.count > 1 ? [Rule(origin: origin, path: "/{rest..}", exchange: .inPlace())] : []
let session = try SealedSession(policy: Policy(services: services, rules: rules))
do {
    let (body, response) = try await session.data(for: URLRequest(url: url))
    print("\(response.statusCode): \(String(decoding: body, as: UTF8.self))")
} catch let error as SealwireError where error.code == .misuse {
    print("nothing was sent: \(error)")
}
