// Seals a note to Bob, who opens it. `swift run first`
import Foundation
import Sealwire

let alice = try Identity.generate()
let bob = try Identity.generate() // stays on Bob's device
let toBob = try Recipient.parse(bob.recipient.description) // what Bob pastes to Alice

let context = SealContext("notes", "17") // what it is for; never sent
let envelope = try seal(Data("meet me at noon".utf8), to: toBob, context: context, options: .init(sign: alice))

let opened = try open(envelope, with: bob, context: context, expect: [alice.signer])
print(try opened.text())

do {
    _ = try open(envelope, with: alice, context: context)
} catch let error as SealwireError where error.code == .notRecipient {
    print("Alice cannot open it: it is sealed to Bob")
}
