/// The version of this package, and of the library that it is made of.
public let sealwireVersion = "0.1.0"
