//! What a hostile server does with the rows that it holds, and how far it gets.
//!
//! It knows everything that the API knows, and Sealwire too: recipients are public, so it can seal. Each act alters rows
//! behind the API's back, then somebody's app makes an ordinary call, and the rows are put back.

use crate::client::{Failure, Item, Person};
use crate::disk::{Disk, Row};
use crate::show;
use crate::{ATTACHMENT, NOTE, OTHER_NOTE};
use sealwire::{Sealer, SlotKind, join, open, seal, split};
use std::error::Error;
use std::ops::Range;

type Done = Result<(), Box<dyn Error>>;

pub(crate) struct Stage<'a> {
    pub(crate) disk: &'a Disk,
    pub(crate) alice: &'a Person,
    pub(crate) bob: &'a Person,
    pub(crate) carol: &'a Person,
    /// The server's own identity.
    pub(crate) mallory: &'a Person,
    /// The note's row from before Carol was taken off the list.
    pub(crate) old_note: &'a Row,
}

/// The ordinary call that runs into the act.
#[derive(Clone, Copy)]
enum Call {
    BobReads,
    BobDownloads,
    BobShares,
    CarolReads,
    AliceLooksUpBob,
}

struct Act {
    did: &'static str,
    tamper: fn(&Stage<'_>) -> Done,
    call: Call,
    refused_by: &'static str,
    code: &'static str,
}

const ACTS: &[Act] = &[
    Act {
        did: "flips a bit in the text of Alice's note",
        tamper: |stage| edit(stage, NOTE, |row| flip(&mut row.body, 100)),
        call: Call::BobReads,
        refused_by: "the chunk's tag",
        code: "Rejected",
    },
    Act {
        did: "flips a bit in Bob's slot",
        tamper: |stage| edit(stage, NOTE, |row| flip_in_slot(row, 0)),
        call: Call::BobReads,
        refused_by: "the slot's own tag",
        code: "NotRecipient",
    },
    Act {
        did: "flips a bit in Alice's slot, not in Bob's",
        tamper: |stage| edit(stage, NOTE, |row| flip_in_slot(row, 1)),
        call: Call::BobReads,
        refused_by: "the tag over all slots",
        code: "NotRecipient",
    },
    Act {
        did: "raises the version number in the metadata",
        tamper: |stage| edit(stage, NOTE, raise_version),
        call: Call::BobReads,
        refused_by: "slots are bound to the metadata",
        code: "NotRecipient",
    },
    Act {
        did: "swaps two of Alice's notes to Bob",
        tamper: |stage| {
            let (one, other) = (stage.disk.row(&NOTE.path())?, stage.disk.row(&OTHER_NOTE.path())?);
            stage.disk.alter(&NOTE.path(), &other)?;
            Ok(stage.disk.alter(&OTHER_NOTE.path(), &one)?)
        },
        call: Call::BobReads,
        refused_by: "the context (\"notes\", \"17\")",
        code: "Rejected",
    },
    Act {
        did: "writes Bob a note of its own, unsigned",
        tamper: |stage| {
            let context = NOTE.context();
            let to_bob = Sealer::new(&context).to(stage.bob.identity().recipient());
            let forged = to_bob.metadata("version", 3_u64).seal(FORGED)?;
            put(stage, &forged)
        },
        call: Call::BobReads,
        refused_by: "expect: only Alice may sign",
        code: "Rejected",
    },
    Act {
        did: "writes Bob a note that Mallory signed",
        tamper: |stage| {
            let context = NOTE.context();
            let forged = Sealer::new(&context)
                .to(stage.bob.identity().recipient())
                .sign(stage.mallory.identity())
                .metadata("version", 3_u64)
                .seal(FORGED)?;
            put(stage, &forged)
        },
        call: Call::BobReads,
        refused_by: "expect: only Alice may sign",
        code: "Rejected",
    },
    Act {
        did: "drops Alice's slot from the header",
        tamper: |stage| {
            edit(stage, NOTE, |row| {
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
        tamper: |stage| {
            let hers = seal(FORGED, &[stage.mallory.identity().recipient()], &NOTE.context())?;
            let hers = Slots::find(&hers)?.slot(&hers, 0)?.to_vec();
            edit(stage, NOTE, |row| {
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
        tamper: |stage| edit(stage, NOTE, |row| replace(&mut row.header, &stage.old_note.header)),
        call: Call::CarolReads,
        refused_by: "the body commits to its new key",
        code: "Rejected",
    },
    Act {
        did: "serves version 1 of the note, after version 2",
        tamper: |stage| put(stage, &join(&stage.old_note.header, &stage.old_note.body)),
        call: Call::BobReads,
        refused_by: "Bob's app: last version seen *",
        code: "OldVersion",
    },
    Act {
        did: "answers with an error page, and status 200",
        tamper: |stage| put_raw(stage, b"<html><h1>502 Bad Gateway</h1></html>"),
        call: Call::BobReads,
        refused_by: "it is no envelope",
        code: "Malformed",
    },
    Act {
        did: "has Bob share note 17 when he shares note 18",
        tamper: |stage| Ok(stage.disk.alter(&OTHER_NOTE.path(), &stage.disk.row(&NOTE.path())?)?),
        call: Call::BobShares,
        refused_by: "rewrap checks the context first",
        code: "Rejected",
    },
    Act {
        did: "cuts the attachment off at a chunk boundary",
        tamper: |stage| edit(stage, ATTACHMENT, |row| cut(&mut row.body, chunk(200).start..usize::MAX)),
        call: Call::BobDownloads,
        refused_by: "the last chunk is missing",
        code: "Truncated",
    },
    Act {
        did: "takes one chunk out of its middle",
        tamper: |stage| edit(stage, ATTACHMENT, |row| cut(&mut row.body, chunk(100))),
        call: Call::BobDownloads,
        refused_by: "chunks are bound to their place",
        code: "Rejected",
    },
    Act {
        did: "hands out its own public keys as Bob's",
        tamper: |stage| {
            let own = stage.mallory.identity().recipient().to_string().into_bytes();
            edit(stage, Item { kind: "people", id: "bob" }, |row| replace(&mut row.body, &own))
        },
        call: Call::AliceLooksUpBob,
        refused_by: "the pin that Bob showed Alice",
        code: "InvalidKey",
    },
];

const FORGED: &[u8] = b"Bob, please wire 5,000 to account 4711. Alice";

/// Runs every act, and prints what became of it. Gives the number of acts that did not end as they must.
pub(crate) async fn run(stage: &Stage<'_>) -> Result<usize, Box<dyn Error>> {
    let honest = stage.disk.rows()?;
    let mut not_refused = 0;
    for act in ACTS {
        // The same call has to succeed on the rows as they were, or its refusal would prove nothing. Carol is
        // off the list: hers must fail, and as a stranger's.
        let control = attempt(stage, act.call).await.err().map(|failure| failure.code());
        stage.disk.restore(&honest)?;
        let expected = matches!(act.call, Call::CarolReads).then_some("NotRecipient");
        if control.as_deref() != expected {
            return Err(format!("the honest call before \"{}\" ended with {control:?}", act.did).into());
        }

        (act.tamper)(stage)?;
        let (code, held) = match attempt(stage, act.call).await {
            Ok(()) => ("accepted".into(), false),
            Err(failure) => (failure.code(), failure.code() == act.code),
        };
        stage.disk.restore(&honest)?;
        not_refused += usize::from(!held);
        show::table_row(act.did, act.refused_by, &code, held);
    }
    Ok(not_refused)
}

pub(crate) fn number_of_acts() -> usize {
    ACTS.len()
}

async fn attempt(stage: &Stage<'_>, call: Call) -> Result<(), Failure> {
    match call {
        Call::BobReads => stage.bob.read(NOTE, "alice").await.map(drop),
        Call::BobDownloads => stage.bob.download(ATTACHMENT, "alice").await.map(drop),
        Call::BobShares => stage.bob.share(OTHER_NOTE, "alice", &["alice", "carol"]).await.map(drop),
        Call::CarolReads => stage.carol.read(NOTE, "alice").await.map(drop),
        Call::AliceLooksUpBob => stage.alice.look_up("bob", &stage.bob.pin()).await.map(drop),
    }
}

/// Alters one row.
fn edit(stage: &Stage<'_>, item: Item, change: impl FnOnce(&mut Row) -> Done) -> Done {
    let mut row = stage.disk.row(&item.path())?;
    let before = row.clone();
    change(&mut row)?;
    if row == before {
        return Err("the hostile server changed nothing".into());
    }
    Ok(stage.disk.alter(&item.path(), &row)?)
}

/// Puts an envelope of its own, or an old one, in the note's place.
fn put(stage: &Stage<'_>, envelope: &[u8]) -> Done {
    // Nothing is wrong with it but its author or its age: a careless app would show it.
    open(envelope, stage.bob.identity(), &NOTE.context())?;
    let (header, body) = split(envelope)?;
    Ok(stage.disk.alter(&NOTE.path(), &Row { header: header.into(), body: body.into() })?)
}

fn put_raw(stage: &Stage<'_>, bytes: &[u8]) -> Done {
    Ok(stage.disk.alter(&NOTE.path(), &Row { header: Vec::new(), body: bytes.into() })?)
}

fn replace(bytes: &mut Vec<u8>, by: &[u8]) -> Done {
    by.clone_into(bytes);
    Ok(())
}

fn flip(bytes: &mut [u8], at: usize) -> Done {
    *bytes.get_mut(at).ok_or("there is no such byte")? ^= 1;
    Ok(())
}

fn cut(bytes: &mut Vec<u8>, range: Range<usize>) -> Done {
    if range.start >= bytes.len() {
        return Err("there is nothing to cut".into());
    }
    bytes.drain(range.start..range.end.min(bytes.len()));
    Ok(())
}

/// Where a chunk lies in a body: after 56 bytes of head, 16 KiB and a tag each.
fn chunk(number: usize) -> Range<usize> {
    const SEALED_CHUNK: usize = 16 * 1024 + 16;
    56 + number * SEALED_CHUNK..56 + (number + 1) * SEALED_CHUNK
}

fn flip_in_slot(row: &mut Row, number: usize) -> Done {
    let header = sealwire::Header::parse(&row.header)?;
    let Some(SlotKind::Hpke { ct, .. }) = header.unverified_slots().nth(number) else {
        return Err("there is no such slot".into());
    };
    let at = memchr::memmem::find(&row.header, *ct).ok_or("the slot is somewhere else")?;
    flip(&mut row.header, at)
}

/// The version is a small number, and stands right after its name.
fn raise_version(row: &mut Row) -> Done {
    let at = memchr::memmem::find(&row.header, b"version").ok_or("there is no version")?;
    *row.header.get_mut(at + b"version".len()).ok_or("the version has no value")? += 1;
    Ok(())
}

/// Where the slots lie in a header: after 9 bytes of magic and one byte string comes theirs, with slots of one length.
struct Slots {
    string: Range<usize>,
    first: usize,
    slot_len: usize,
}

impl Slots {
    fn find(header: &[u8]) -> Result<Self, Box<dyn Error>> {
        let fixed = byte_string(header, 9)?;
        let content = byte_string(header, fixed.end)?;
        let number = usize::from(header.get(content.start).ok_or("no slots")? & 0x1f);
        let slot_len = (content.len() - 1) / number.max(1);
        Ok(Self { string: fixed.end..content.end, first: content.start + 1, slot_len })
    }

    fn slot<'h>(&self, header: &'h [u8], number: usize) -> Result<&'h [u8], Box<dyn Error>> {
        let start = self.first + number * self.slot_len;
        Ok(header.get(start..start + self.slot_len).ok_or("there is no such slot")?)
    }

    /// Writes other slots in place of those that are there. All else, the tag too, stays.
    fn replace(&self, header: &mut Vec<u8>, slots: &[&[u8]]) -> Done {
        let content = [&[0x80 + u8::try_from(slots.len())?], slots.concat().as_slice()].concat();
        let [high, low] = u16::try_from(content.len())?.to_be_bytes();
        header.splice(self.string.clone(), [&[0x59, high, low], content.as_slice()].concat());
        Ok(())
    }
}

/// The content of the CBOR byte string at `at`, with one or two bytes of length.
fn byte_string(bytes: &[u8], at: usize) -> Result<Range<usize>, Box<dyn Error>> {
    let (start, len) = match bytes.get(at..) {
        Some([0x58, len, ..]) => (at + 2, usize::from(*len)),
        Some([0x59, high, low, ..]) => (at + 3, usize::from(u16::from_be_bytes([*high, *low]))),
        _ => return Err("a header of another form".into()),
    };
    Ok(start..start + len)
}
