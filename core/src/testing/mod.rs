//! The opacity kit: what an app developer runs in their own CI to see that nobody in between can read or change a call.
//!
//! Feature `testing`. A [`Recorder`] stands in front of the real server and keeps every byte. [`Canaries`] stand in the test data where secrets would. The
//! [`OpacityReport`] says where one was seen: on the wire, and in the files that the server keeps. An [`OpacityCheck`] then does what a hostile
//! network would do, and says what was not refused.
//!
//! ```
//! # #[cfg(all(feature = "reqwest", feature = "tower"))]
//! # async fn example(listener: tokio::net::TcpListener, alice: sealwire::Identity, pins: sealwire::http::ServicePins) -> sealwire::Result<()> {
//! # async fn start_my_app(_: tokio::net::TcpListener, _: &str) {}
//! use sealwire::http::{Client, Policy, Rule};
//! use sealwire::testing::{Canaries, Canary, OpacityCheck, Recorder};
//!
//! let recorder = Recorder::start(listener.local_addr()?).await?;
//! start_my_app(listener, recorder.url()).await; // with the recorder as its public origin
//! let rule = Rule::at(recorder.url(), "/{rest..}")?.exchange().sign();
//! let policy = Policy::new().service(recorder.url(), pins)?.rule(rule);
//! let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
//! let client = Client::new(http, policy).identity(alice);
//!
//! let body = Canary::new("note body")?;
//! let report = OpacityCheck::new(&recorder, &Canaries::from([&body]))
//!     .call("save", |url| client.put(format!("{url}/notes/17")).body(body.text()).send())
//!     .call("list", |url| client.get(format!("{url}/notes")).send())
//!     .run()
//!     .await?;
//! report.scan_folder("the/app's/data")?.assert_opaque();
//! # Ok(())
//! # }
//! ```
//!
//! A canary is found as plaintext in either case, base64 (either alphabet, at every alignment, in lines), hex, percent-encoded, escaped as in JSON, UTF-16, a
//! list of numbers, in gzip, zlib and deflate, across chunks of the transfer coding, and in up to four of these within one another.
//! **It is not found** in part, in other compressions (of a message these are reported, of a file not: zstd, Brotli, a database's own), or
//! encrypted with a key that the server has: what is not seen here is not thereby secret.
//!
//! What it needs of an app: a public origin that can be set, to [`Recorder::url`]; plain HTTP/1.1 behind it.

mod check;
mod report;
mod recorder;
mod tamper;
mod wire;
mod search;
mod canary;

pub use canary::{Canaries, Canary};
pub use check::OpacityCheck;
pub use recorder::Recorder;
pub use report::{OpacityItem, OpacityReport};
pub use tamper::Tampering;
