//! What a hostile server and a hostile CDN do, and how far they get.
//!
//! They know everything that the API knows, and Sealwire too: recipients are public, so they can seal. In league with them is
//! Mallory, who has an account. Before each act the same call was made without it, or its refusal would prove nothing.

mod rows;
mod wire;

use crate::Outcome;
use crate::client::{Failure, Person};
use crate::proxy::{Answer, Proxy};
use crate::report::ActReport;
use crate::script::{ATTACHMENT, NOTE, OTHER_NOTE, OTHER_TEXT};
use crate::second::Second;
use crate::server::Server;
use crate::show;
use crate::store::{Row, Store};

pub(crate) struct Stage<'a> {
    pub(crate) store: &'a Store,
    pub(crate) proxy: &'a Proxy,
    pub(crate) server: &'a Server,
    /// Another process of the same service, if there is one.
    pub(crate) second: Option<&'a Second>,
    pub(crate) alice: &'a Person,
    pub(crate) bob: &'a Person,
    pub(crate) carol: &'a Person,
    pub(crate) mallory: &'a Person,
    /// The note's row from before Carol was taken off the list.
    pub(crate) old_note: &'a Row,
    /// What the service published before its keys were rotated.
    pub(crate) old_keys: &'a Answer,
}

/// An ordinary call, which runs into an act.
#[derive(Clone, Copy)]
enum Call {
    BobReads,
    BobLists,
    BobDownloads,
    BobShares,
    CarolReads,
    AliceLooksUpBob,
    AliceWrites,
    AliceAsks,
    AliceOrders,
    AliceListens,
    AliceReadsHelp,
    AliceReadsHours,
}

/// Runs every act, and prints what became of it.
pub(crate) async fn run(stage: &Stage<'_>) -> Outcome<Vec<ActReport>> {
    let mut acts = rows::run(stage).await?;
    acts.extend(wire::run(stage).await?);
    Ok(acts)
}

async fn attempt(stage: &Stage<'_>, call: Call) -> Result<(), Failure> {
    let Stage { alice, bob, carol, .. } = stage;
    match call {
        Call::BobReads => bob.read(NOTE).await.map(drop),
        Call::BobLists => {
            let items = bob.list().await?;
            let (one, other) = (NOTE.id, OTHER_NOTE.id);
            let mut for_bob = items.into_iter().filter(|item| item.id == one || item.id == other);
            Ok(for_bob.try_for_each(|item| item.opened.map(drop))?)
        }
        Call::BobDownloads => bob.download(ATTACHMENT, "alice").await.map(drop),
        Call::BobShares => bob.share(OTHER_NOTE, "alice", &["alice", "carol"]).await.map(drop),
        Call::CarolReads => carol.read(NOTE).await.map(drop),
        Call::AliceLooksUpBob => alice.look_up("bob", &bob.pin()).await.map(drop),
        Call::AliceWrites => alice.write(OTHER_NOTE, 1, OTHER_TEXT, &["bob"]).await,
        Call::AliceAsks => alice.ask("How many logs for three nights?").await.map(drop),
        Call::AliceOrders => alice.order().await.map(drop),
        Call::AliceListens => alice.listen("the-cabin", |_, _| {}).await,
        Call::AliceReadsHelp => alice.help().await.map(drop),
        Call::AliceReadsHours => alice.hours().await.map(drop),
    }
}

fn print(act: &ActReport) {
    show::table_row(act.did, act.refused_by, &act.code, act.held);
}
