//! What is written, asked and searched for.

use crate::client::{Item, TOKEN};
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) const NOTE: Item = Item { kind: "notes", id: "17" };
pub(crate) const OTHER_NOTE: Item = Item { kind: "notes", id: "18" };
pub(crate) const ATTACHMENT: Item = Item { kind: "attachments", id: "17" };
pub(crate) const DIARY: Item = Item { kind: "notes", id: "19" };

pub(crate) const TEXT: &str = "Dear Bob,\n\nthe cabin is ours from Friday.\nKey: under the third stone.\nAlarm code: 4-8-15-16-23.\n\nAlice";
pub(crate) const OTHER_TEXT: &str = "Bob, please bring firewood and coffee.";
pub(crate) const DIARY_TEXT: &str = "Bob must not know about the birthday cake.";
pub(crate) const QUESTION: &str = "How much firewood for three nights at the cabin?";
pub(crate) const TOPIC: &str = "packing-for-the-cabin";

/// Parts of what nobody but the readers may ever find.
pub(crate) const CANARIES: [&str; 10] = [
    "under the third stone",
    "4-8-15-16-23",
    "firewood and coffee",
    "the birthday cake",
    "the-way-to-the-cabin",
    "image/bmp",
    "firewood for three nights",
    "eighteen logs",
    TOPIC,
    TOKEN,
];

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
