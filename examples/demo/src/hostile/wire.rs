//! A hostile CDN between the clients and the server: it answers in the server's place, and changes requests on their way.

use super::{Call, Stage, attempt, print};
use crate::Outcome;
use crate::proxy::{Answer, Passed, Step, Tamper};
use crate::report::ActReport;
use crate::script::now;
use crate::server::TUNNEL;
use crate::show;
use crate::surgery::{Signing, flipped, unsign};
use axum::body::Bytes;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use sealwire::http::{KEYS_PATH, Origin, ServiceKeys};
use std::net::SocketAddr;

#[derive(Clone, Copy, PartialEq)]
enum At {
    Client,
    Server,
}

struct Act {
    did: &'static str,
    /// Makes the tampering, given what passed when the same call was made honestly.
    tamper: fn(&Stage<'_>, &Passed) -> Outcome<Tamper>,
    call: Call,
    refused_by: &'static str,
    code: &'static str,
}

/// What clients refuse.
const ANSWERS: &[Act] = &[
    Act {
        did: "answers with a note in plain text",
        tamper: |_, _| Ok(answer_with(200, "text/plain", "Bob, please wire 5,000 to account 4711. Alice")),
        call: Call::BobReads,
        refused_by: "a note is an envelope",
        code: "Unsealed",
    },
    Act {
        did: "sends Bob to another host for it",
        tamper: |stage, _| redirect(stage),
        call: Call::BobReads,
        refused_by: "redirects are not followed",
        code: "Unsealed",
    },
    Act {
        did: "sends a sealed question to another host",
        tamper: |stage, _| redirect(stage),
        call: Call::AliceAsks,
        refused_by: "redirects are not followed",
        code: "Unsealed",
    },
    Act {
        did: "answers Alice's question in plain text",
        tamper: |_, _| Ok(answer_with(200, "application/json", r#"{"asked_by":"alice","answer":"none"}"#)),
        call: Call::AliceAsks,
        refused_by: "an answer is sealed",
        code: "Unsealed",
    },
    Act {
        did: "answers with an error page of its own",
        tamper: |_, _| Ok(answer_with(502, "text/html", "<html><h1>502 Bad Gateway</h1></html>")),
        call: Call::AliceAsks,
        refused_by: "an answer is sealed",
        code: "Unsealed",
    },
    Act {
        did: "flips a bit in the sealed answer",
        tamper: |_, _| {
            Ok(Tamper::answers(|_, mut answer| {
                let mut body = answer.body.to_vec();
                if let Some(last) = body.last_mut() {
                    *last ^= 1;
                }
                answer.body = body.into();
                answer
            }))
        },
        call: Call::AliceAsks,
        refused_by: "the answer's tag",
        code: "Rejected",
    },
    Act {
        did: "answers with the answer to another question",
        tamper: |_, honest| {
            let (_, earlier) = honest.last().ok_or("nothing passed")?.clone();
            Ok(Tamper::answers(move |_, _| earlier.clone()))
        },
        call: Call::AliceAsks,
        refused_by: "its key hangs on the question",
        code: "Rejected",
    },
    Act {
        did: "cuts the stream of events off",
        tamper: |_, _| {
            Ok(Tamper::answers(|_, mut answer| {
                answer.body.truncate(answer.body.len().saturating_sub(20));
                answer
            }))
        },
        call: Call::AliceListens,
        refused_by: "the last chunk is missing",
        code: "Truncated",
    },
    Act {
        did: "serves a key of its own as the service's",
        tamper: |stage, _| {
            let (origin, now) = (Origin::parse(&stage.proxy.origin)?, now());
            let keys = ServiceKeys::generate(now)?;
            serve_keys(stage, keys.document(stage.mallory.identity(), &[origin], &[], now)?.into())
        },
        call: Call::AliceAsks,
        refused_by: "the pin that Alice's app carries",
        code: "Rejected",
    },
    Act {
        did: "serves the service's keys of before",
        tamper: |stage, _| serve_keys(stage, stage.old_keys.body.clone()),
        call: Call::AliceAsks,
        refused_by: "the highest serial seen",
        code: "Rejected",
    },
    Act {
        did: "lets an order through, then denies the key",
        tamper: |_, _| {
            Ok(Tamper::answers(|_, _| {
                let problem =
                    r#"{"type":"https://iana.org/assignments/http-problem-types#ohttp-key","status":400}"#;
                Answer::new(400, "application/problem+json", problem)
            }))
        },
        call: Call::AliceOrders,
        refused_by: "a POST is not repeated: 1 order",
        code: "InvalidKey",
    },
];

/// What the server refuses.
const REQUESTS: &[Act] = &[
    Act {
        did: "takes the signature off Alice's note",
        tamper: |_, _| {
            Ok(Tamper::requests(|mut call| {
                unsign(&mut call);
                Step::Pass(call)
            }))
        },
        call: Call::AliceWrites,
        refused_by: "unsigned is refused",
        code: "Rejected",
    },
    Act {
        did: "flips a bit in the note on its way in",
        tamper: |_, _| Ok(Tamper::requests(|call| Step::Pass(flipped(call)))),
        call: Call::AliceWrites,
        refused_by: "the signed digest of the body",
        code: "Rejected",
    },
    Act {
        did: "changes the query of Bob's request",
        tamper: |_, _| {
            Ok(Tamper::requests(|mut call| {
                call.path = call.path.replace("?revision=", "?revision=9");
                Step::Pass(call)
            }))
        },
        call: Call::BobShares,
        refused_by: "the query is under the signature",
        code: "Rejected",
    },
    Act {
        did: "sends Alice's note a second time",
        tamper: |stage, _| Ok(again(stage.server.address)),
        call: Call::AliceWrites,
        refused_by: "the nonce was seen",
        code: "Replayed",
    },
    Act {
        did: "sends a sealed, unsigned request again",
        tamper: |stage, _| Ok(again(stage.server.address)),
        call: Call::AliceReadsHelp,
        refused_by: "its key was seen",
        code: "Replayed",
    },
    Act {
        did: "signs Alice's sealed question as Mallory",
        tamper: |stage, _| {
            let signing = Signing::new(stage.mallory.identity(), &stage.proxy.origin)?;
            Ok(Tamper::requests(move |call| signing.step(call)))
        },
        call: Call::AliceAsks,
        refused_by: "Alice's key id is inside, too",
        code: "Rejected",
    },
    Act {
        did: "asks in Alice's place, in plain text",
        tamper: |stage, _| {
            let signing = Signing::new(stage.mallory.identity(), &stage.proxy.origin)?;
            Ok(Tamper::requests(move |mut call| {
                call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                call.body = Bytes::from_static(br#"{"question":"none"}"#);
                signing.step(call)
            }))
        },
        call: Call::AliceAsks,
        refused_by: "this path takes exchanges only",
        code: "Unsealed",
    },
    Act {
        did: "flips a bit in a sealed request, and signs it",
        tamper: |stage, _| {
            let signing = Signing::new(stage.mallory.identity(), &stage.proxy.origin)?;
            Ok(Tamper::requests(move |call| signing.step(flipped(call))))
        },
        call: Call::AliceAsks,
        refused_by: "the request's tag",
        code: "Rejected",
    },
    Act {
        did: "moves a sealed request to another path",
        tamper: |_, _| {
            Ok(Tamper::requests(|mut call| {
                call.path = call.path.replace("/help", "/hours");
                Step::Pass(call)
            }))
        },
        call: Call::AliceReadsHelp,
        refused_by: "the path is inside, too",
        code: "Rejected",
    },
    Act {
        did: "takes a request out of the tunnel",
        tamper: |stage, _| {
            let signing = Signing::new(stage.mallory.identity(), &stage.proxy.origin)?;
            Ok(Tamper::requests(move |mut call| {
                if call.path == TUNNEL {
                    call.path = "/assistant/public/hours".into();
                }
                signing.step(call)
            }))
        },
        call: Call::AliceReadsHours,
        refused_by: "how it travels is inside, too",
        code: "Rejected",
    },
];

/// What the server refuses, if there are two of them.
const SECOND: &[Act] = &[
    Act {
        did: "sends Alice's note to the second server, too",
        tamper: |stage, _| Ok(again(second(stage)?)),
        call: Call::AliceWrites,
        refused_by: "the nonce is in the shared cache",
        code: "Replayed",
    },
    Act {
        did: "sends a sealed request to it, too",
        tamper: |stage, _| Ok(again(second(stage)?)),
        call: Call::AliceReadsHelp,
        refused_by: "its key is in the shared cache",
        code: "Replayed",
    },
];

/// Runs every act. Gives what became of each.
pub(super) async fn run(stage: &Stage<'_>) -> Outcome<Vec<ActReport>> {
    let mut reports = Vec::new();
    show::table_head("what the CDN answered");
    for act in ANSWERS {
        reports.push(play(stage, act, At::Client).await?);
    }
    show::table_head("what the CDN did with requests");
    for act in REQUESTS.iter().chain(stage.second.map(|_| SECOND).unwrap_or_default()) {
        reports.push(play(stage, act, At::Server).await?);
    }
    Ok(reports)
}

async fn play(stage: &Stage<'_>, act: &Act, at: At) -> Outcome<ActReport> {
    drop(refusals(stage).await?);
    let (control, honest) = stage.proxy.tampering(Tamper::none(), attempt(stage, act.call)).await;
    let refused = refusals(stage).await?;
    if control.is_err() || !refused.is_empty() {
        return Err(format!("before \"{}\": {control:?}, {refused:?}", act.did).into());
    }

    let tamper = (act.tamper)(stage, &honest)?;
    let orders = stage.server.assistant.orders();
    let (outcome, _) = stage.proxy.tampering(tamper, attempt(stage, act.call)).await;
    let refused = refusals(stage).await?;
    let code = match at {
        At::Client => outcome.as_ref().err().map(|failure| failure.code()),
        // Why is told to the operator alone; the client, and whoever is in between, sees only that.
        At::Server => (!refused.is_empty()).then(|| refused.join(" ")),
    };
    let code = code.unwrap_or_else(|| "accepted".into());
    let ordered_once =
        !matches!(act.call, Call::AliceOrders) || stage.server.assistant.orders() == orders + 1;
    let nobody_else = refused.is_empty() == (at == At::Client);
    let held =
        code == act.code && outcome.is_err() && nobody_else && ordered_once && stage.proxy.led_astray() == 0;
    let at = if at == At::Client { "client" } else { "server" };
    let report = ActReport { did: act.did, refused_by: act.refused_by, at, code, expected: act.code, held };
    print(&report);
    Ok(report)
}

/// What the servers' operators, and they alone, are told.
async fn refusals(stage: &Stage<'_>) -> Outcome<Vec<String>> {
    let mut refusals: Vec<String> = stage.server.audit.take_refusals().into_iter().map(Into::into).collect();
    if let Some(second) = stage.second {
        refusals.extend(second.take_refusals().await?);
    }
    Ok(refusals)
}

/// The server never hears of the request.
fn answer_with(status: u16, media_type: &'static str, body: &'static str) -> Tamper {
    Tamper::requests(move |_| Step::Answer(Answer::new(status, media_type, body)))
}

/// 307 keeps method and body.
fn redirect(stage: &Stage<'_>) -> Outcome<Tamper> {
    let elsewhere = HeaderValue::try_from(format!("http://{}/notes/17", stage.proxy.elsewhere))?;
    Ok(Tamper::requests(move |_| {
        let mut redirect = Answer::new(307, "text/plain", "");
        redirect.headers.insert(LOCATION, elsewhere.clone());
        Step::Answer(redirect)
    }))
}

/// Alice's app starts anew, so it fetches the service's keys, and gets these.
fn serve_keys(stage: &Stage<'_>, document: Bytes) -> Outcome<Tamper> {
    stage.alice.restart();
    Ok(Tamper::answers(move |call, mut answer| {
        if call.path == KEYS_PATH {
            answer.body = document.clone();
        }
        answer
    }))
}

fn again(server: SocketAddr) -> Tamper {
    Tamper::requests(move |call| Step::Again(call, server))
}

fn second(stage: &Stage<'_>) -> Outcome<SocketAddr> {
    Ok(stage.second.ok_or("there is no second server")?.address)
}
