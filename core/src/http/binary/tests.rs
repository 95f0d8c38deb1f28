//! Whatever the pieces are, the message is the same: also one that is refused.

use super::{END, Head, Reader, write_content, write_head, write_message};
use crate::error::Result;
use crate::http::{Method, Origin, RequestHead, ResponseHead, Target};
use proptest::prelude::*;

/// Head and content of a message that arrives in pieces of these lengths, over and over.
fn read<H: Head>(message: &[u8], pieces: &[usize]) -> Result<(Option<H>, Vec<u8>)> {
    let (mut reader, mut content, mut rest) = (Reader::new(100_000), Vec::new(), message);
    for len in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, later) = rest.split_at(rest.len().min(*len));
        reader.push(piece, &mut content)?;
        rest = later;
    }
    reader.finish()?;
    Ok((reader.take_head(), content))
}

/// Both forms of a message.
fn written(head: &impl Head, content: &[u8], piece: usize) -> [Vec<u8>; 2] {
    let mut pieces = write_head(head);
    content.chunks(piece).for_each(|piece| write_content(piece, &mut pieces));
    pieces.extend_from_slice(&END);
    [write_message(head, content), pieces]
}

fn request_head(path: &str, fields: &[(String, String)]) -> RequestHead {
    let target = Target::new(Origin::parse("https://api.example.com").unwrap(), path).unwrap();
    let mut head = RequestHead::new(Method::new("PUT").unwrap(), target);
    fields.iter().for_each(|(name, value)| head.headers.add(name, value).unwrap());
    head
}

prop_compose! {
    fn fields()(fields in proptest::collection::vec(("x-[a-z0-9]{0,20}", "[!-~]{0,200}"), 0..30)) -> Vec<(String, String)> {
        fields
    }
}

proptest! {
    #[test]
    fn requests(
        fields in fields(),
        path in "/[a-z0-9/_?-]{0,100}",
        content in proptest::collection::vec(any::<u8>(), 0..20_000),
        piece in 1_usize..20_000,
        pieces in proptest::collection::vec(1_usize..6000, 1..8),
    ) {
        let head = request_head(&path, &fields);
        for message in written(&head, &content, piece) {
            let (found, read) = read::<RequestHead>(&message, &pieces).unwrap();
            prop_assert!(found.as_ref() == Some(&head) && read == content);
        }
    }

    #[test]
    fn responses(
        fields in fields(),
        status in 200_u16..=599,
        content in proptest::collection::vec(any::<u8>(), 0..2_000),
        piece in 1_usize..2_000,
        pieces in proptest::collection::vec(1_usize..600, 1..8),
    ) {
        let mut head = ResponseHead::new(status).unwrap();
        fields.iter().for_each(|(name, value)| head.headers.add(name, value).unwrap());
        for message in written(&head, &content, piece) {
            let (found, read) = read::<ResponseHead>(&message, &pieces).unwrap();
            prop_assert!(found.as_ref() == Some(&head) && read == content);
        }
    }

    /// Refused in whatever pieces, and for the same reason.
    #[test]
    fn damaged_messages(
        fields in fields(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<proptest::sample::Index>(),
        pieces in proptest::collection::vec(1_usize..300, 1..8),
    ) {
        for mut message in written(&request_head("/n", &fields), b"some content", 5) {
            for (at, byte) in &changes {
                let at = at.index(message.len());
                message[at] = *byte;
            }
            message.truncate(cut.index(message.len() + 1).max(message.len() / 2));
            let whole = read::<RequestHead>(&message, &[usize::MAX]);
            prop_assert_eq!(&read::<RequestHead>(&message, &pieces), &whole);
            prop_assert_eq!(&read::<RequestHead>(&message, &[1]), &whole);
        }
    }
}
