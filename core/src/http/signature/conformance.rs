//! Other people's signatures and structured fields, through the code that verifies and signs ours.

use super::body::BodyProof;
use super::fields::{Input, dictionary, integer, string};
use super::structured::{Dictionary, Item, Member, Parameters};
use super::{KeyId, OriginPolicy, RequestVerifier, VerifiedBody};
use crate::envelope::from_text;
use crate::error::{Error, Result};
use crate::http::message::{Headers, Method, Origin, RequestHead, Target};
use crate::suite::{Signer, SigningKey};
use crate::vectors::{Format, files};
use proptest::prelude::{prop_assert_eq, proptest};
use serde_json::{Value, json};
use sfv::{BareItem, FieldType};

fn head(method: &str, origin: &str, path_and_query: &str, fields: &[(&str, &str)]) -> RequestHead {
    let target = Target::new(Origin::parse(origin).unwrap(), path_and_query).unwrap();
    let mut head = RequestHead::new(Method::new(method).unwrap(), target);
    fields.iter().for_each(|(name, value)| head.headers.add(name, value).unwrap());
    head
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap()
}

fn key(jwk: &Value) -> (SigningKey, Signer) {
    let bytes = |name| <[u8; 32]>::try_from(from_text(text(jwk, name)).unwrap()).unwrap();
    (SigningKey::from_seed(&bytes("d")), Signer::from_bytes(&bytes("x")).unwrap())
}

#[test]
fn conformance_http_signature() {
    for (path, vector) in files(Format::HttpSignature).unwrap() {
        let request = &vector["request"];
        let origin = format!("{}://{}", text(request, "scheme"), text(request, "authority"));
        let path_and_query = [text(request, "path"), text(request, "query")].concat();
        let fields = request["headers"].as_array().unwrap();
        let fields: Vec<_> =
            fields.iter().map(|f| (f[0].as_str().unwrap(), f[1].as_str().unwrap())).collect();
        let unsigned = head(text(request, "method"), &origin, &path_and_query, &fields);
        let mut signed = unsigned.clone();
        signed.headers.add("signature-input", text(&vector, "signature_input")).unwrap();
        signed.headers.add("signature", text(&vector, "signature")).unwrap();

        let label = text(&vector, "label");
        let (secret, public) = key(&vector["key"]);
        let (input, signature) = Input::find(&signed.headers, |found, _| found == label).unwrap();
        let base = input.base(&signed).unwrap();
        assert_eq!(String::from_utf8_lossy(&base), text(&vector, "signature_base"), "{}", path.display());
        assert_eq!(public.verify(&base, &signature), Ok(()));

        // The same out of our own signer: Ed25519 has one signature per key and message.
        let components: Vec<_> =
            vector["components"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
        let created = integer(input.seconds("created").unwrap().unwrap()).unwrap();
        let key_id = string(&input.text("keyid").unwrap().unwrap()).unwrap();
        let mut resigned = unsigned;
        let parameters = [("created", created), ("keyid", key_id)];
        Input::new(&components, &parameters).unwrap().sign(&mut resigned, label, &secret).unwrap();
        assert_eq!(resigned, signed);

        let proof = BodyProof::read(&signed.headers, true).unwrap();
        let check = |body: &[u8]| {
            let mut check = super::BodyCheck::new(proof.clone());
            body.iter().try_for_each(|byte| check.push(&[*byte]))?;
            check.finish()
        };
        let body = text(request, "body").as_bytes();
        assert_eq!(check(body), Ok(VerifiedBody::Whole));
        assert_eq!(check(&body[1..]), Err(Error::Rejected));
    }
}

#[test]
fn conformance_web_bot_auth() {
    let mut run = 0;
    for (path, file) in files(Format::WebBotAuth).unwrap() {
        for vector in file.as_array().unwrap().iter().filter(|vector| vector["key"]["crv"] == "Ed25519") {
            let fields = [("signature-input", "signature_input"), ("signature", "signature")];
            let fields = fields.map(|(name, field)| (name, text(vector, field)));
            let (origin, path_and_query) = text(vector, "target_url").split_at("https://example.com".len());
            let mut head = head("GET", origin, path_and_query, &fields);
            let (_, public) = key(&vector["key"]);
            let label = text(vector, "label");
            let (input, signature) = Input::find(&head.headers, |found, _| found == label).unwrap();
            assert_eq!(input.text("keyid"), Ok(Some(public.key_id().to_string())), "{}", path.display());
            assert_eq!(KeyId::parse(&input.text("keyid").unwrap().unwrap()), Ok(public.key_id()));
            assert_eq!(input.seconds("created"), Ok(vector["created_ms"].as_u64().map(|ms| ms / 1000)));
            assert_eq!(input.text("nonce").unwrap().as_deref(), vector["nonce"].as_str());
            if let Some(agent) = vector.get("signature_agent") {
                // One member of a dictionary field (`;key`) is what ours never cover.
                head.headers.add("signature-agent", agent.as_str().unwrap()).unwrap();
                assert!(matches!(input.base(&head), Err(Error::Malformed(_))));
            } else {
                assert_eq!(public.verify(&input.base(&head).unwrap(), &signature), Ok(()));
                run += 1;
            }
            // Somebody else's tag is not ours, whoever signed.
            let verifier = RequestVerifier::new(vec![public], OriginPolicy::default());
            let now = input.seconds("created").unwrap().unwrap();
            assert_eq!(verifier.verify_head(&head, false, now), Err(Error::Rejected));
        }
    }
    assert!(run >= 1, "no signature was verified");
}

/// RFC 8037 appendix A.3.
#[test]
fn conformance_jwk_thumbprint() {
    let x = from_text("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
    let key_id = Signer::from_bytes(&x.try_into().unwrap()).unwrap().key_id();
    assert_eq!(key_id.to_string(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

/// RFC 9530 §2 and its appendices: the digests of `{"hello": "world"}` and a line feed.
#[test]
fn conformance_content_digest() {
    for digest in [
        "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
        "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:",
    ] {
        let mut headers = Headers::new();
        headers.add("content-digest", digest).unwrap();
        let proof = BodyProof::read(&headers, true).unwrap();
        let mut check = super::BodyCheck::new(proof.clone());
        check.push(b"{\"hello\": \"world\"}\n").unwrap();
        assert_eq!(check.finish(), Ok(VerifiedBody::Whole), "{digest}");
    }
}

/// Dictionaries as they are; items, and lists of one member, as the value of a dictionary's one member.
///
/// Ours refuse what a serialiser would not have written, so a test's input that is not canonical counts as one to be refused.
#[test]
fn conformance_structured_fields() {
    let (mut accepted, mut refused) = (0, 0);
    for (path, file) in files(Format::StructuredFields).unwrap() {
        for test in file.as_array().unwrap() {
            let what = format!("{}: {}", path.display(), test["name"]);
            let lines: Vec<&str> =
                test["raw"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
            let in_dictionary = test["header_type"] == "dictionary";
            let members = test["expected"].as_array().map_or(1, Vec::len);
            let list = test["header_type"] == "list";
            if !in_dictionary && (lines.len() != 1 || (list && members != 1)) {
                continue; // A list of several members, which nothing of ours is.
            }
            let edges = [lines[0].chars().next(), lines[0].chars().last()];
            if edges.contains(&Some('\t')) {
                continue; // White space around a field is gone before anybody reads it (RFC 9110 §5.5).
            }
            let canonical = test["canonical"].as_array();
            let canonical =
                canonical.map_or(lines.join(","), |list| list.iter().filter_map(Value::as_str).collect());
            let visible = |text: &str| text.replace([' ', '\t'], "");
            let written_so = visible(&canonical) == visible(&lines.join(","))
                && (in_dictionary || !lines[0].starts_with("?1")); // A dictionary writes `a`, not `a=?1`.
            let good = test["must_fail"] != true && written_so;
            let prefix = if in_dictionary { "" } else { "a=" };
            match parse(&lines, prefix) {
                Err(_) => assert!(!good, "{what}: refused"),
                Ok(found) if in_dictionary => assert_eq!((good, &found), (true, &test["expected"]), "{what}"),
                Ok(found) if list => assert_eq!((good, &found[0][1]), (true, &test["expected"][0]), "{what}"),
                Ok(found) => assert_eq!((good, &found[0][1]), (true, &test["expected"]), "{what}"),
            }
            *(if good { &mut accepted } else { &mut refused }) += 1;
        }
    }
    assert!(accepted >= 500 && refused >= 500, "only {accepted} accepted and {refused} refused");
}

fn parse(lines: &[&str], prefix: &str) -> Result<Value> {
    let mut headers = Headers::new();
    for line in lines {
        headers.add("test", [prefix, line.trim_matches(' ')].concat())?;
    }
    let members = dictionary(&headers, "test")?;
    let members: Vec<_> = members
        .into_iter()
        .map(|(key, member)| {
            let value = match &member {
                Member::Item(one) => item(one),
                Member::List(list) => {
                    json!([list.items.iter().map(item).collect::<Vec<_>>(), parameters(&list.parameters)])
                }
            };
            json!([key, value])
        })
        .collect();
    if !prefix.is_empty() && members.len() != 1 {
        return Err(Error::Malformed(&"more than the item"));
    }
    Ok(members.into())
}

fn item(item: &Item) -> Value {
    json!([bare(&item.value), parameters(&item.parameters)])
}

fn parameters(parameters: &Parameters) -> Value {
    parameters.iter().map(|(key, value)| json!([key, bare(value)])).collect()
}

/// As the tests write it: <https://github.com/httpwg/structured-field-tests>.
fn bare(value: &str) -> Value {
    let typed = |name: &str, value: Value| json!({"__type": name, "value": value});
    let item: sfv::Item = sfv::Parser::new(value).parse().unwrap();
    match &item.bare_item {
        BareItem::Integer(number) => json!(i64::from(*number)),
        BareItem::Decimal(number) => json!(number.to_string().parse::<f64>().unwrap()),
        BareItem::String(text) => json!(text.as_str()),
        BareItem::Token(token) => typed("token", json!(token.as_str())),
        BareItem::ByteSequence(bytes) => typed("binary", json!(base32(bytes))),
        BareItem::Boolean(value) => json!(value),
        BareItem::Date(date) => typed("date", json!(i64::from(date.unix_seconds()))),
        BareItem::DisplayString(text) => typed("displaystring", json!(text)),
    }
}

fn base32(bytes: &[u8]) -> String {
    let group = |group: &[u8]| {
        let bits =
            group.iter().enumerate().fold(0_u64, |bits, (i, byte)| bits | u64::from(*byte) << (32 - 8 * i));
        let digit =
            |i: usize| char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[(bits >> (35 - 5 * i)) as usize % 32]);
        let digits = (group.len() * 8).div_ceil(5);
        (0..8).map(|i| if i < digits { digit(i) } else { '=' }).collect::<String>()
    };
    bytes.chunks(5).map(group).collect()
}

proptest! {
    /// Ours takes what `sfv` takes and writes back as it was.
    #[test]
    fn takes_canonical_dictionaries_and_no_others(text in r#"[ \t]?([a*A][ab]?(=([()"%:?@.0-9a-cA-Z;\\/\- ]|:[A-Za-b]{1,4}={0,2}:|%"[ %0-9a-f]{0,6}"|-?[0-9]{1,3}(\.[0-9]{1,4})?|"[a-z\\ "]{0,4}"|\((a|1|"b"| |;c){0,4}\)){0,3})?(;[a-c]?(=[?a0-1]{1,2})?){0,2}(, ?|,\t|;| )?){0,4}"#) {
        let canonical = sfv::Parser::new(&text).parse::<sfv::Dictionary>().ok();
        let canonical = canonical.map(|dictionary| dictionary.serialize().unwrap_or_default());
        let visible = |text: &str| text.replace([' ', '\t'], "");
        let theirs = canonical.filter(|canonical| visible(canonical) == visible(&text));
        let ours = Dictionary::parse(text.as_bytes()).ok().map(|dictionary| dictionary.write());
        prop_assert_eq!(ours, theirs);
    }
}
