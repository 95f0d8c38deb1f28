//! What sealing and opening costs in Rust itself, for `bindings/bench/` to compare a language with: the same envelopes, one line of JSON.
//!
//!     cargo run --release -p sealwire-bindings --example cost -- SECONDS
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use sealwire::{Identity, Kem, Opener, Recipients, SealContext, Sealer};
use std::hint::black_box;
use std::time::{Duration, Instant};

fn main() {
    let seconds: f64 = std::env::args().nth(1).map_or(1.0, |text| text.parse().unwrap());
    let context = SealContext::new("bench").field("1");
    let mut all = Vec::new();
    for (kem, class) in [(Kem::XWing, ""), (Kem::X25519, ", X25519")] {
        let identity = Identity::generate_with(kem).unwrap();
        let recipients = || Recipients::new().recipient(identity.recipient());
        for (name, size) in [("1 KiB", 1 << 10), ("1 MiB", 1 << 20)] {
            let payload = vec![7; size];
            // As in every language: from the options on.
            let seal = || Sealer::new(&context).to(recipients()).seal(&payload).unwrap();
            let envelope = seal();
            let open = || Opener::new(&identity, &context).open(&envelope).unwrap();
            let measured = [
                ("seal", micros(seconds, &|| drop(black_box(seal())))),
                ("open", micros(seconds, &|| drop(black_box(open())))),
            ];
            for (verb, micros) in measured {
                all.push(format!("\"{verb} {name}{class}\": {micros:.2}"));
            }
        }
    }
    println!("{{{}}}", all.join(", "));
}

/// The median of single runs.
fn micros(seconds: f64, run: &dyn Fn()) -> f64 {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut runs = Vec::new();
    while Instant::now() < end || runs.len() < 20 {
        let started = Instant::now();
        run();
        runs.push(started.elapsed());
    }
    runs.sort_unstable();
    runs.get(runs.len() / 2).unwrap().as_secs_f64() * 1e6
}
