//! A hostile server that alters the rows it holds: then somebody's app makes an ordinary call, and the rows are put back.

use super::{Call, Stage, attempt, print};
use crate::Outcome;
use crate::client::Item;
use crate::report::ActReport;
use crate::script::{ATTACHMENT, NOTE, OTHER_NOTE};
use crate::show;
use crate::store::{Row, Rows};
use crate::surgery::{Slots, chunk, cut, flip, flip_in_slot, raise_version};
use sealwire::{Sealer, join, open, seal, split};

struct Act {
    did: &'static str,
    tamper: fn(&Stage<'_>, &mut Rows) -> Outcome<()>,
    call: Call,
    refused_by: &'static str,
    code: &'static str,
}

const ACTS: &[Act] = &[
    Act {
        did: "flips a bit in the text of Alice's note",
        tamper: |_, rows| edit(rows, NOTE, |row| flip(&mut row.body, 100)),
        call: Call::BobReads,
        refused_by: "the chunk's tag",
        code: "Rejected",
    },
    Act {
        did: "flips a bit in Bob's slot",
        tamper: |_, rows| edit(rows, NOTE, |row| flip_in_slot(row, 0)),
        call: Call::BobReads,
        refused_by: "the slot's own tag",
        code: "NotRecipient",
    },
    Act {
        did: "flips a bit in Alice's slot, not in Bob's",
        tamper: |_, rows| edit(rows, NOTE, |row| flip_in_slot(row, 1)),
        call: Call::BobReads,
        refused_by: "the tag over all slots",
        code: "NotRecipient",
    },
    Act {
        did: "raises the version number in the metadata",
        tamper: |_, rows| edit(rows, NOTE, raise_version),
        call: Call::BobReads,
        refused_by: "slots are bound to the metadata",
        code: "NotRecipient",
    },
    Act {
        did: "swaps two of Alice's notes to Bob",
        tamper: |_, rows| swap(rows),
        call: Call::BobReads,
        refused_by: "the context (\"notes\", \"17\")",
        code: "Rejected",
    },
    Act {
        did: "swaps them in a list of all notes",
        tamper: |_, rows| swap(rows),
        call: Call::BobLists,
        refused_by: "the context, for each item",
        code: "Rejected",
    },
    Act {
        did: "writes Bob a note of its own, unsigned",
        tamper: |stage, rows| {
            let context = NOTE.context();
            let to_bob = Sealer::new(&context).to(stage.bob.identity().recipient());
            let forged = to_bob.metadata("version", 3_u64).seal(FORGED)?;
            put(stage, rows, &forged)
        },
        call: Call::BobReads,
        refused_by: "only contacts may sign",
        code: "Rejected",
    },
    Act {
        did: "writes Bob a note that Mallory signed",
        tamper: |stage, rows| {
            let context = NOTE.context();
            let forged = Sealer::new(&context)
                .to(stage.bob.identity().recipient())
                .sign(stage.mallory.identity())
                .metadata("version", 3_u64)
                .seal(FORGED)?;
            put(stage, rows, &forged)
        },
        call: Call::BobReads,
        refused_by: "only contacts may sign",
        code: "Rejected",
    },
    Act {
        did: "drops Alice's slot from the header",
        tamper: |_, rows| {
            edit(rows, NOTE, |row| {
                let slots = Slots::find(&row.header)?;
                let first = slots.slot(&row.header, 0)?.to_vec();
                slots.replace(&mut row.header, &[&first])
            })
        },
        call: Call::BobReads,
        refused_by: "the tag over all slots",
        code: "NotRecipient",
    },
    Act {
        did: "adds a slot for Mallory, made for another note",
        tamper: |stage, rows| {
            let hers = seal(FORGED, &[stage.mallory.identity().recipient()], &NOTE.context())?;
            let hers = Slots::find(&hers)?.slot(&hers, 0)?.to_vec();
            edit(rows, NOTE, |row| {
                let slots = Slots::find(&row.header)?;
                let (bob, alice) =
                    (slots.slot(&row.header, 0)?.to_vec(), slots.slot(&row.header, 1)?.to_vec());
                slots.replace(&mut row.header, &[&bob, &alice, &hers])
            })
        },
        call: Call::BobReads,
        refused_by: "the tag over all slots",
        code: "NotRecipient",
    },
    Act {
        did: "gives Carol her old header with the new text",
        tamper: |stage, rows| edit(rows, NOTE, |row| replace(&mut row.header, &stage.old_note.header)),
        call: Call::CarolReads,
        refused_by: "the body commits to its new key",
        code: "Rejected",
    },
    Act {
        did: "serves version 1 of the note, after version 2",
        tamper: |stage, rows| put(stage, rows, &join(&stage.old_note.header, &stage.old_note.body)),
        call: Call::BobReads,
        refused_by: "the last version seen *",
        code: "Rejected",
    },
    Act {
        did: "answers with an error page, and status 200",
        tamper: |_, rows| put_raw(rows, b"<html><h1>502 Bad Gateway</h1></html>"),
        call: Call::BobReads,
        refused_by: "it is no envelope",
        code: "Malformed",
    },
    Act {
        did: "has Bob share note 17 when he shares note 18",
        tamper: |_, rows| {
            let note = row(rows, NOTE)?.clone();
            edit(rows, OTHER_NOTE, |other| {
                (other.header, other.body) = (note.header, note.body);
                Ok(())
            })
        },
        call: Call::BobShares,
        refused_by: "rewrap checks the context first",
        code: "Rejected",
    },
    Act {
        did: "cuts the attachment off at a chunk boundary",
        tamper: |_, rows| edit(rows, ATTACHMENT, |row| cut(&mut row.body, chunk(200).start..usize::MAX)),
        call: Call::BobDownloads,
        refused_by: "the last chunk is missing",
        code: "Truncated",
    },
    Act {
        did: "takes one chunk out of its middle",
        tamper: |_, rows| edit(rows, ATTACHMENT, |row| cut(&mut row.body, chunk(100))),
        call: Call::BobDownloads,
        refused_by: "chunks are bound to their place",
        code: "Rejected",
    },
    Act {
        did: "hands out its own public keys as Bob's",
        tamper: |stage, rows| {
            let own = stage.mallory.identity().recipient().to_string().into_bytes();
            edit(rows, Item { kind: "people", id: "bob" }, |row| replace(&mut row.body, &own))
        },
        call: Call::AliceLooksUpBob,
        refused_by: "the pin that Bob showed Alice",
        code: "InvalidKey",
    },
];

const FORGED: &[u8] = b"Bob, please wire 5,000 to account 4711. Alice";

/// Runs every act. Gives what became of each.
pub(super) async fn run(stage: &Stage<'_>) -> Outcome<Vec<ActReport>> {
    show::table_head("what the server did with its rows");
    let honest = stage.store.all().await?;
    let mut reports = Vec::new();
    for act in ACTS {
        // Carol is off the list: her honest call must fail, and as a stranger's.
        let control = attempt(stage, act.call).await.err().map(|failure| failure.code());
        replace_all(stage, &honest).await?;
        let expected = matches!(act.call, Call::CarolReads).then_some("NotRecipient");
        if control.as_deref() != expected {
            return Err(format!("the honest call before \"{}\" ended with {control:?}", act.did).into());
        }

        let mut rows = honest.clone();
        (act.tamper)(stage, &mut rows)?;
        if rows == honest {
            return Err(format!("\"{}\" changed nothing", act.did).into());
        }
        replace_all(stage, &rows).await?;
        let outcome = attempt(stage, act.call).await;
        replace_all(stage, &honest).await?;
        let code = outcome.err().map_or("accepted".into(), |failure| failure.code());
        let Act { did, refused_by, code: expected, .. } = *act;
        let held = code == expected;
        let report = ActReport { did, refused_by, at: "client", code, expected, held };
        print(&report);
        reports.push(report);
    }
    Ok(reports)
}

/// Brings the store to these rows, behind the API's back.
async fn replace_all(stage: &Stage<'_>, rows: &Rows) -> Outcome<()> {
    for (path, now) in stage.store.all().await? {
        if let Some(row) = rows.get(&path)
            && (&row.header, &row.body) != (&now.header, &now.body)
        {
            stage.store.alter(&path, row).await?;
        }
    }
    Ok(())
}

/// Alters one row.
fn edit(rows: &mut Rows, item: Item, change: impl FnOnce(&mut Row) -> Outcome<()>) -> Outcome<()> {
    change(rows.get_mut(&item.path()).ok_or("there is no such row")?)
}

/// Two of Alice's notes to Bob change places.
fn swap(rows: &mut Rows) -> Outcome<()> {
    let (one, other) = (row(rows, NOTE)?.clone(), row(rows, OTHER_NOTE)?.clone());
    rows.insert(NOTE.path(), other);
    rows.insert(OTHER_NOTE.path(), one);
    Ok(())
}

fn row(rows: &Rows, item: Item) -> Outcome<&Row> {
    Ok(rows.get(&item.path()).ok_or("there is no such row")?)
}

/// Puts an envelope of its own, or an old one, in the note's place.
fn put(stage: &Stage<'_>, rows: &mut Rows, envelope: &[u8]) -> Outcome<()> {
    // Nothing is wrong with it but its author or its age: a careless app would show it.
    open(envelope, &**stage.bob.identity(), &NOTE.context())?;
    let (header, body) = split(envelope)?;
    edit(rows, NOTE, |row| {
        (row.header, row.body) = (header.into(), body.into());
        Ok(())
    })
}

fn put_raw(rows: &mut Rows, bytes: &[u8]) -> Outcome<()> {
    edit(rows, NOTE, |row| {
        (row.header, row.body) = (Vec::new(), bytes.into());
        Ok(())
    })
}

fn replace(bytes: &mut Vec<u8>, by: &[u8]) -> Outcome<()> {
    by.clone_into(bytes);
    Ok(())
}
