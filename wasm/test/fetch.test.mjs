// sealedFetch against the Rust layer over loopback, with nobody or somebody in between.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import axios from "axios";
import ky from "ky";
import createClient from "openapi-fetch";
import { Identity, SealContext, SealwireError, seal, sealedFetch, sealedInfo } from "../dist/esm/node.js";

const PAGE = "https://app.example";
const root = new URL("../../", import.meta.url).pathname;

let alice, bob, services, server, say;

before(async () => {
  [alice, bob] = [await Identity.generate({ kem: "X25519" }), await Identity.generate({ kem: "X25519" })];
  const signers = [alice, bob].map((person) => person.signer.toString());
  server = spawn("cargo", ["run", "--quiet", "--locked", "--example", "web_server", "--", ...signers], {
    cwd: root,
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
  const next = async () => JSON.parse((await lines.next()).value);
  services = await next();
  say = async (command, service) => {
    server.stdin.write(`${command} ${service}\n`);
    return next();
  };
});

after(() => server.stdin.end());

const refused = (code) => (error) => {
  assert.ok(error instanceof SealwireError, `${error?.stack}`);
  assert.equal(error.code, code, error.message);
  return true;
};

/** A fetch with one rule for all of a service. */
function through(name, rule, options) {
  const { origin, pin } = services[name];
  return sealedFetch({ services: { [origin]: { pins: [pin] } }, rules: [{ origin, path: "/{rest..}", ...rule }] }, options);
}

const at = (name, path) => services[name].origin + path;

/** A fetch that keeps what was sent, and lets somebody change what comes. */
function between(change = (response) => response) {
  const sent = [];
  const fetch = async (url, init) => {
    sent.push({ url, ...init, headers: new Headers(init.headers) });
    const response = await globalThis.fetch(url, init);
    return url.endsWith("/.well-known/sealwire-keys") ? response : change(response, sent.at(-1));
  };
  return { fetch, sent };
}

/** The same response with another body. */
async function changed(response, change) {
  const body = change(new Uint8Array(await response.arrayBuffer()));
  return new Response(body, { status: response.status, headers: response.headers });
}

test("every kind of body and method arrives in place and tunnelled, whole and streamed, and the answer comes back", async () => {
  for (const exchange of [true, { tunnel: at("open", "/gateway") }]) {
    for (const streamed of [false, true]) {
      const { fetch, sent } = between();
      const api = through("open", { exchange, streamed }, { fetch });
      const form = new FormData();
      form.set("a", "1");
      const bodies = [
        ["text", "text/plain;charset=UTF-8", /^text$/],
        [new TextEncoder().encode("bytes"), undefined, /^bytes$/],
        [new Blob(["blob"], { type: "text/x-blob" }), "text/x-blob", /^blob$/],
        [new URLSearchParams({ q: "ä b" }), "application/x-www-form-urlencoded;charset=UTF-8", /^q=%C3%A4\+b$/],
        [form, /^multipart\/form-data; boundary=/, /name="a"\r\n\r\n1\r\n/],
        [new Blob(["a ", "stream"]).stream(), undefined, /^a stream$/],
        ["", "text/plain;charset=UTF-8", /^$/],
      ];
      for (const [body, contentType, expected] of bodies) {
        const answer = await api(at("open", "/notes?q=%2F#part"), { method: "POST", body, headers: { Authorization: "Bearer t0k" } });
        assert.equal(answer.status, 200);
        assert.equal(answer.url, at("open", "/notes?q=%2F"));
        assert.equal(answer.headers.get("x-app"), "yes");
        assert.match(await answer.text(), /^POST \/notes\?q=%2F /);
        const last = await say("last", "open");
        assert.match(last.body, expected);
        assert.equal(last.headers.authorization, "Bearer t0k");
        if (contentType instanceof RegExp) assert.match(last.headers["content-type"], contentType);
        else assert.equal(last.headers["content-type"], contentType);
        const outside = sent.at(-1);
        assert.equal(outside.headers.get("authorization"), null);
        assert.equal(outside.url, exchange === true ? at("open", "/notes") : at("open", "/gateway"));
        assert.deepEqual([outside.redirect, outside.cache], ["manual", "no-store"]);
      }
      for (const method of ["GET", "HEAD", "DELETE", "PUT", "PATCH", "OPTIONS"]) {
        const answer = await api(new Request(at("open", "/a%20b/c"), { method }));
        assert.equal(await answer.text(), method === "HEAD" ? "" : `${method} /a%20b/c `);
      }
      for (const status of [404, 500]) assert.equal((await api(at("open", `/status/${status}`))).status, status);
      assert.equal(sent.filter(({ url }) => url.endsWith("keys")).length, 1);
    }
  }
});

test("a GET travels in one field, and what is exposed outside", async () => {
  const { fetch, sent } = between();
  const api = through("open", { exchange: { expose: ["authorization"], exposeQuery: true } }, { fetch });
  await api(at("open", "/x?page=2"), { headers: { authorization: "Bearer shown" } });
  const { method, url, headers, body } = sent.at(-1);
  assert.deepEqual([method, url, body], ["GET", at("open", "/x?page=2"), undefined]);
  assert.match(headers.get("sealwire-exchange"), /^:.+:$/);
  assert.equal(headers.get("authorization"), "Bearer shown");
});

test("a signed exchange arrives with its sender; an unsigned one is refused", async () => {
  const api = through("signed", { exchange: true, sign: true }, { identity: alice });
  await api(at("signed", "/who"), { method: "PUT", body: "me" });
  assert.equal((await say("last", "signed")).sender, alice.signer.toString());
  await assert.rejects(through("signed", { exchange: true })(at("signed", "/who")), refused("Unsealed"));
  await assert.rejects(through("signed", { exchange: true, sign: true })(at("signed", "/who")), refused("Misuse"));
});

test("server-sent events come one by one, and stop when they are aborted", async () => {
  const api = through("open", { exchange: true, streamed: true });
  const events = await api(at("open", "/events"));
  assert.equal(events.headers.get("content-type"), "text/event-stream");
  const reader = events.body.pipeThrough(new TextDecoderStream()).getReader();
  assert.deepEqual(await reader.read(), { done: false, value: "data: 1\n\n" });
  await say("go", "open");
  assert.deepEqual(await reader.read(), { done: false, value: "data: 2\n\n" });
  assert.equal((await reader.read()).done, true);

  const abort = new AbortController();
  const more = (await api(at("open", "/events"), { signal: abort.signal })).body.getReader();
  await more.read();
  const reason = new Error("enough");
  abort.abort(reason);
  await assert.rejects(more.read(), (error) => error === reason);
  await say("go", "open");
});

test("a large streamed body comes with backpressure, and is cancelled", async () => {
  let pulled = 0;
  const { fetch } = between((response) => {
    const count = new TransformStream({ transform: (piece, to) => ((pulled += piece.length), to.enqueue(piece)) }, undefined, { highWaterMark: 0 });
    return new Response(response.body.pipeThrough(count), { headers: response.headers });
  });
  const answer = await through("open", { exchange: true, streamed: true }, { fetch })(at("open", "/large"));
  const reader = answer.body.getReader();
  let length = 0;
  while (length < 3_000_000) length += (await reader.read()).value.length;
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.ok(pulled - length < 400_000, `${pulled} for ${length}`);
  await reader.cancel();
});

test("aborting stops a call before its answer", async () => {
  const told = [];
  const api = through("open", { exchange: true }, { observer: (event) => told.push(event) });
  const abort = new AbortController();
  const waiting = api(at("open", "/slow"), { signal: abort.signal });
  setTimeout(() => abort.abort(), 100);
  await assert.rejects(waiting, { name: "AbortError" });
  await say("go", "open");
  await assert.rejects(api(at("open", "/x"), { signal: AbortSignal.abort() }), { name: "AbortError" });
  await api(at("open", "/x"), { method: "POST", body: "12345" });
  assert.deepEqual(told.map(({ code, protection, size }) => [code, protection, size]), [["aborted", "exchange", 0], ["ok", "exchange", 16]]);
});

test("an upload is sealed while it is made", async () => {
  for (const name of ["open", "signed"]) {
    const api = through(name, { exchange: true, sign: name === "signed" }, { identity: alice });
    const { readable, writable } = new TransformStream();
    const writer = writable.getWriter();
    const uploading = api(at(name, "/up"), { method: "PUT", body: readable, duplex: "half" });
    await writer.write(new Uint8Array(100_000));
    // The first of it is out before the rest was made.
    await new Promise((resolve) => setTimeout(resolve, 200));
    await writer.write(new TextEncoder().encode("end"));
    await writer.close();
    assert.equal((await uploading).status, 200);
    const { body } = await say("last", name);
    assert.equal(body.length, 100_003);
    assert.ok(body.endsWith("end"));

    const failing = new ReadableStream({ pull: (to) => to.error(new Error("the disk is gone")) });
    await assert.rejects(api(at(name, "/up"), { method: "PUT", body: failing, duplex: "half" }), refused("Network"));
  }
  const small = through("open", { exchange: true }, { maxBody: 1000 });
  await assert.rejects(small(at("open", "/x"), { method: "POST", body: new Blob(["x".repeat(1001)]).stream() }), refused("TooLarge"));
  await assert.rejects(small(at("open", "/x"), { method: "POST", body: "x".repeat(1001) }), refused("TooLarge"));
});

/** A body of an app's own, which never ends, and what became of it. */
function endless() {
  const became = {};
  const stream = new ReadableStream(
    {
      pull: (to) => (became.read ? new Promise(() => {}) : ((became.read = true), to.enqueue(new Uint8Array(10)))),
      cancel: (reason) => void (became.cancelled = { reason }),
    },
    { highWaterMark: 0 },
  );
  return { stream, became };
}

test("a call that fails cancels the app's stream with the reason, and lets go of it", async () => {
  const never = () => new Promise(() => {});
  const through502 = () => Promise.resolve(new Response("<h1>Bad Gateway</h1>", { status: 502 }));
  /** Reads what is sent as a platform does that knows nothing of the signal. */
  let upload;
  const reads = (_, { body }) => {
    upload = (async () => {
      for await (const piece of body) assert.ok(piece.length > 0);
    })();
    upload.catch(() => {});
    return never();
  };
  const cases = {
    "no connection": ["Network", (_, init) => globalThis.fetch("http://127.0.0.1:1/", init)],
    "a fetch that throws": ["Network", () => Promise.reject(new TypeError("fetch failed"))],
    "an answer that is refused": ["Unsealed", through502],
    "no rule": ["Misuse", never, { url: "https://elsewhere.example/x" }],
    "aborted before": ["aborted", never, { before: true }],
    "aborted, and nobody hears": ["aborted", never, { abort: true }],
    "aborted, and it is being read": ["aborted", reads, { abort: true }],
  };
  for (const duplex of ["half", undefined]) {
    for (const [what, [code, send, { url = at("open", "/up"), before, abort } = {}]] of Object.entries(cases)) {
      const fetch = (url, init) => (url.endsWith("keys") ? globalThis.fetch(url, init) : send(url, init));
      const api = through("open", { exchange: true }, { fetch });
      const { stream, became } = endless();
      // What is held as a whole is read to its end first; this one has none.
      if (duplex === undefined && !before && !abort) continue;
      const enough = new Error("enough");
      const aborting = new AbortController();
      if (before) aborting.abort(enough);
      if (abort) setTimeout(() => aborting.abort(enough), 200);
      const error = await api(url, { method: "PUT", body: stream, duplex, signal: aborting.signal }).catch((error) => error);
      if (code === "aborted") assert.equal(error, enough, what);
      else assert.equal(error.code, code, `${what}: ${error.stack}`);
      assert.equal(stream.locked, false, what);
      // The platform itself may have been faster, with its own word for it.
      assert.ok(became.cancelled !== undefined, what);
      if (what !== "no connection") assert.equal(became.cancelled.reason, error, what);
    }
  }
  // It was cut off, and does not look as if it had come to its end.
  await assert.rejects(upload);

  const { stream, became } = endless();
  const large = through("open", { exchange: true }, { maxBody: 5 });
  const error = await large(at("open", "/x"), { method: "PUT", body: stream }).catch((error) => error);
  assert.deepEqual([error.code, became.cancelled.reason, stream.locked], ["TooLarge", error, false]);
  const text = new ReadableStream({ start: (to) => to.enqueue("text"), cancel: (reason) => void (became.text = reason) });
  const wrong = await large(at("open", "/x"), { method: "PUT", body: text, duplex: "half" }).catch((error) => error);
  assert.ok(wrong instanceof SealwireError && became.text instanceof SealwireError && !text.locked, `${wrong}`);
});

test("an answer that nobody reads on is cancelled", async () => {
  const enough = new Error("enough");
  let became;
  /** The answer so far, and then nothing more. */
  const { fetch } = between((response) => {
    became = {};
    const stalled = new TransformStream({ flush: () => new Promise(() => {}) });
    const body = response.body.pipeThrough(stalled).getReader();
    const passing = {
      async pull(to) {
        to.enqueue((await body.read()).value);
      },
      cancel: (reason) => void (became.cancelled = { reason }),
    };
    return new Response(new ReadableStream(passing, { highWaterMark: 0 }), { headers: response.headers });
  });
  const api = through("open", { exchange: true, streamed: true }, { fetch });
  const call = (signal) => api(at("open", "/x"), { method: "POST", body: "y".repeat(40_000), signal });
  const reader = (await call()).body.getReader();
  await reader.read();
  await reader.cancel(enough);
  assert.equal(became.cancelled.reason, enough);

  // Also where what sends knows nothing of the signal.
  for (const meanwhile of [true, false]) {
    const abort = new AbortController();
    const aborted = (await call(abort.signal)).body.getReader();
    let length = 0;
    while (length < 40_000) length += (await aborted.read()).value.length;
    if (!meanwhile) abort.abort(enough);
    const next = aborted.read();
    if (meanwhile) setTimeout(() => abort.abort(enough), 50);
    await assert.rejects(next, (error) => error === enough);
    assert.ok(became.cancelled !== undefined);
  }
  const whole = through("open", { exchange: true }, { fetch });
  const abort = new AbortController();
  setTimeout(() => abort.abort(enough), 200);
  await assert.rejects(whole(at("open", "/x"), { signal: abort.signal }), (error) => error === enough);
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(became.cancelled !== undefined);
});

test("a new service key is fetched once, and only what has no effect twice is repeated", async () => {
  const plain = through("open", { exchange: true });
  const keyed = through("signed", { exchange: true, sign: true, idempotent: true }, { identity: alice });
  await plain(at("open", "/x"));
  await keyed(at("signed", "/x"));
  await say("rotate", "open");
  await say("rotate", "signed");
  const calls = await say("calls", "open");
  await assert.rejects(plain(at("open", "/x"), { method: "POST", body: "once" }), refused("InvalidKey"));
  assert.equal(await say("calls", "open"), calls);
  assert.equal((await plain(at("open", "/x"), { method: "POST", body: "once" })).status, 200);
  assert.equal((await keyed(at("signed", "/x"), { method: "POST", body: "once" })).status, 200);
  await say("rotate", "open");
  assert.equal((await plain(at("open", "/x"))).status, 200);
});

test("keys of another identity, and no pins at all, are refused", async () => {
  const { origin } = services.open;
  const rules = [{ origin, path: "/{rest..}", exchange: true }];
  const others = sealedFetch({ services: { [origin]: { pins: [alice.recipient.pin] } }, rules });
  await assert.rejects(others(at("open", "/x")), refused("Rejected"));
  await assert.rejects(sealedFetch({ rules })(at("open", "/x")), refused("Misuse"));
  const store = new Store();
  const tab = () => sealedFetch({ services: { [origin]: { trustOnFirstUse: true } }, rules }, { lastSeen: store });
  assert.equal((await tab()(at("open", "/x"))).status, 200);
  assert.equal((await tab()(at("open", "/x"))).status, 200);
  // A tab that had met somebody else first.
  const [name, pins] = [...store.values].find(([name]) => name.startsWith("pins."));
  store.values.set(name, pins.map((byte, at) => (at === pins.length - 1 ? byte ^ 1 : byte)));
  await assert.rejects(tab()(at("open", "/x")), refused("Rejected"));
});

test("what no rule covers, and what a policy does not know, is not sent", async () => {
  const { fetch, sent } = between();
  const api = through("open", { exchange: true }, { fetch });
  await assert.rejects(api("https://elsewhere.example/x"), refused("Misuse"));
  await assert.rejects(through("open", {}, { fetch })(at("open", "/x")), refused("Misuse"));
  await assert.rejects(api(at("open", "/x"), { sealwire: { too: [] } }), refused("Misuse"));
  await assert.rejects(api(at("open", "/x"), { headers: { "sealwire-mode": "tunnel" } }), refused("Misuse"));
  await assert.rejects(api(at("open", "/x"), { integrity: "sha256-x" }), refused("Misuse"));
  await assert.rejects(api("relative"), TypeError);
  assert.equal(sent.filter(({ url }) => !url.endsWith("keys")).length, 0);
  for (const policy of [{ rules: [], rule: 1 }, { rules: [{ seals: {} }] }, { rules: [{ exchange: { exposes: [] } }] }, {}]) {
    assert.throws(() => sealedFetch(policy), refused("Misuse"));
  }
  assert.throws(() => sealedFetch({ rules: [] }, { lastseen: 1 }), refused("Misuse"));
  const clear = through("open", { inTheClear: true });
  assert.equal((await clear(at("open", "/x"))).status, 400);
});

test("whatever somebody on the way makes of an answer is refused", async () => {
  const flipped = (at) => (bytes) => ((bytes.at(at), (bytes[at < 0 ? bytes.length + at : at] ^= 1)), bytes);
  let kept;
  const acts = {
    "a flipped first byte": ["Rejected", (response) => changed(response, flipped(0))],
    "a flipped last byte": ["Rejected", (response) => changed(response, flipped(-1))],
    "the end cut off": [/Rejected|Truncated/, (response) => changed(response, (bytes) => bytes.slice(0, -20))],
    "nothing": [/Truncated|Rejected|Malformed/, (response) => changed(response, () => new Uint8Array())],
    "something appended": [/Rejected|Malformed/, (response) => changed(response, (bytes) => new Uint8Array([...bytes, 0]))],
    "plaintext": ["Unsealed", () => new Response("{}", { headers: { "content-type": "application/json" } })],
    "an error page": ["Unsealed", () => new Response("<h1>Bad Gateway</h1>", { status: 502 })],
    "another status": ["Unsealed", (response) => new Response(response.body, { status: 203, headers: response.headers })],
    "a redirect": ["Unsealed", () => new Response(null, { status: 307, headers: { location: "https://evil.example/" } })],
    "a redirect that was followed": ["Unsealed", (response) => Object.defineProperty(response, "url", { value: "https://evil.example/" })],
    "the answer to another request": ["Rejected", (response) => (kept === undefined ? ((kept = response.clone()), response) : kept)],
    "a lie that the key is gone": [
      "InvalidKey",
      () =>
        new Response('{"type":"https://iana.org/assignments/http-problem-types#ohttp-key","status":400}', {
          status: 400,
          headers: { "content-type": "application/problem+json" },
        }),
    ],
  };
  for (const streamed of [false, true]) {
    for (const [act, [code, change]] of Object.entries(acts)) {
      kept = undefined;
      const { fetch } = between(change);
      const api = through("open", { exchange: true, streamed }, { fetch });
      const call = async () => (await api(at("open", "/x"), { method: "POST", body: "hello" })).text();
      if (act.startsWith("the answer to")) await call();
      await assert.rejects(call(), (error) => {
        assert.match(error.code, new RegExp(code), `${act}, streamed: ${streamed}: ${error}`);
        return true;
      });
    }
  }
});

test("a stream that is cut says so after its last good piece", async () => {
  const { fetch } = between((response) => changed(response, (bytes) => bytes.slice(0, -20)));
  const api = through("open", { exchange: true, streamed: true }, { fetch });
  const body = (await api(at("open", "/x"), { method: "POST", body: "y".repeat(40_000) })).body.getReader();
  let text = "";
  await assert.rejects(async () => {
    for (;;) {
      const { value, done } = await body.read();
      assert.ok(!done);
      text += new TextDecoder().decode(value);
    }
  }, refused("Truncated"));
  assert.match(text, /^POST \/x y+$/);
});

test("a real redirect is not followed, and a replay is refused", async () => {
  const seen = [];
  const { fetch, sent } = between();
  const api = through("open", { exchange: true }, { fetch });
  await api(at("open", "/x"), { method: "POST", body: "once" });
  const { url, method, headers, body } = sent.at(-1);
  const calls = await say("calls", "open");
  assert.notEqual((await globalThis.fetch(url, { method, headers, body })).status, 200);
  assert.equal(await say("calls", "open"), calls);

  const { createServer } = await import("node:http");
  const elsewhere = createServer((request, response) => {
    seen.push(request.url);
    response.writeHead(302, { location: "/elsewhere" }).end();
  });
  await new Promise((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${elsewhere.address().port}`;
  const clear = sealedFetch({ rules: [{ origin, path: "/{rest..}", inTheClear: true }] });
  await assert.rejects(clear(`${origin}/x`, { redirect: "follow" }), refused("Unsealed"));
  assert.deepEqual(seen, ["/x"]);
  elsewhere.close();
});

/** A store as a page has one: asynchronous, and shared. */
class Store {
  values = new Map();
  async load(name) {
    return this.values.get(name);
  }
  async save(name, value) {
    this.values.set(name, value);
  }
  async update(name, change) {
    this.values.set(name, change(this.values.get(name)));
  }
}

const people = (over) => ({ namespace: "notes", id: "id", to: [alice.recipient, bob.recipient], senders: [alice.signer], ...over });

function notes(identity, options, seal = people()) {
  const { origin } = services.store;
  const rules = [
    { origin, path: "/store/list", seal: { ...seal, list: { id: "id", envelope: "sealed" } }, sign: true },
    { origin, path: "/store/{id}", seal, sign: true },
  ];
  return sealedFetch({ rules }, { identity, ...options });
}

test("a sealed resource is written, read, and known by its writer", async () => {
  const { fetch, sent } = between();
  const [hers, his] = [notes(alice, { fetch }), notes(bob)];
  const written = await hers(at("store", "/store/17"), {
    method: "PUT", body: "milk", headers: { "content-type": "text/x-note" }, sealwire: { version: 3 },
  });
  assert.equal(written.status, 201);
  assert.equal(sent.at(-1).headers.get("content-type"), "application/vnd.sealwire");
  assert.ok(!Buffer.from(sent.at(-1).body).includes("milk"));
  const read = await his(at("store", "/store/17"));
  assert.equal(await read.clone().text(), "milk");
  const { signer, about } = sealedInfo(read.clone());
  assert.ok(signer.equals(alice.signer));
  assert.deepEqual([about.version, about.contentType, read.headers.get("content-type")], [3, "text/x-note", "text/x-note"]);
  assert.equal(sealedInfo(new Response()), undefined);

  // Only to herself, and to another id.
  await hers(at("store", "/store/18"), { method: "PUT", body: "secret", sealwire: { to: [alice.recipient] } });
  await assert.rejects(his(at("store", "/store/18")), refused("NotRecipient"));
  const other = { sealwire: { context: new SealContext("notes", "18") } };
  await assert.rejects(his(at("store", "/store/17"), other), refused("Rejected"));
  // Bob is no sender, and what the store says by itself is no note.
  await his(at("store", "/store/19"), { method: "PUT", body: "forged" });
  await assert.rejects(hers(at("store", "/store/19")), refused("Rejected"));
  await assert.rejects(hers(at("store", "/store/none")), refused("Unsealed"));
});

test("an old version served as new is refused, after a reload and by another tab too", async () => {
  const store = new Store();
  const served = new Map();
  const envelope = (version, text) =>
    seal(text, [alice.recipient], new SealContext("notes", "17"), { sign: alice, metadata: version === undefined ? {} : { version } });
  for (const [version, text] of [[1, "one"], [2, "two"], [3, "three"], [undefined, "none"]]) served.set(version, await envelope(version, text));
  let serving;
  const fetch = async () => new Response(served.get(serving), { headers: { "content-type": "application/vnd.sealwire" } });
  const read = async (tab, version) => {
    serving = version;
    return (await tab(at("store", "/store/17"))).text();
  };
  const tab = () => notes(alice, { fetch, lastSeen: store });
  const [one, two] = [tab(), tab()];
  assert.equal(await read(one, undefined), "none");
  assert.equal(store.values.size, 0);
  assert.equal(await read(one, 2), "two");
  assert.equal(await read(one, 2), "two");
  await assert.rejects(read(one, 1), refused("Rejected"));
  await assert.rejects(read(two, 1), refused("Rejected"));
  assert.equal(await read(two, 3), "three");
  await assert.rejects(read(one, 2), refused("Rejected"));
  await assert.rejects(read(tab(), undefined), refused("Rejected"));
  assert.equal(await read(tab(), 3), "three");
  assert.deepEqual([...store.values.values()].map((value) => [...value]), [[0, 0, 0, 0, 0, 0, 0, 3]]);
  store.load = () => Promise.reject(new Error("the disk is gone"));
  await assert.rejects(read(one, 3), refused("Store"));

  // A write that was taken counts before the rest of its answer has come.
  const written = new Store();
  const cut = async (url, init) =>
    new Response(new ReadableStream({ pull: (to) => to.error(new Error("cut")) }), { status: 201 });
  const writer = notes(alice, { fetch: cut, lastSeen: written });
  await assert.rejects(writer(at("store", "/store/17"), { method: "PUT", body: "x", sealwire: { version: 9 } }), refused("Network"));
  assert.equal([...written.values.values()][0].at(-1), 9);
});

test("a list is opened item by item", async () => {
  const note = async (id, text, version) => Buffer.from(
    await seal(text, [alice.recipient], new SealContext("notes", id), { sign: alice, metadata: { version } }),
  ).toString("base64url");
  const list = [
    { id: "1", sealed: await note("1", "one", 1) },
    { id: "2", sealed: await note("1", "one", 1) },
    { id: 3 },
    { id: "4", sealed: await note("4", "four", 4) },
  ];
  const store = new Store();
  const fetch = async () => Response.json(list);
  const get = async () => sealedInfo(await notes(alice, { fetch, lastSeen: store })(at("store", "/store/list"))).list;
  const told = (items) => items.map(({ id, opened, error }) => [id, opened?.text() ?? error.code]);
  assert.deepEqual(told(await get()), [["1", "one"], ["2", "Rejected"], ["3", "Unsealed"], ["4", "four"]]);
  list[3].sealed = await note("4", "old", 3);
  assert.deepEqual(told(await get()).at(-1), ["4", "Rejected"]);
});

test("an older key document is refused by every tab", async () => {
  const store = new Store();
  const tab = (options) => through("open", { exchange: true }, { lastSeen: store, ...options });
  let document;
  const { fetch } = between();
  await tab({
    fetch: async (url, init) => {
      const response = await fetch(url, init);
      if (url.endsWith("keys")) document = { body: new Uint8Array(await response.clone().arrayBuffer()), headers: [...response.headers] };
      return response;
    },
  })(at("open", "/x"));
  const [name, serial] = [...store.values].find(([name]) => name.startsWith("seen."));
  store.values.set(name, serial.map((byte, at) => (at === 0 ? 1 : byte)));
  const old = (url, init) => (url.endsWith("keys") ? new Response(document.body, { headers: document.headers }) : fetch(url, init));
  await assert.rejects(tab({ fetch: old })(at("open", "/x")), refused("Rejected"));
});

test("a page on another origin is allowed what is needed, and sees what is needed", async () => {
  const safelisted = new Set(["accept", "accept-language", "content-language"]);
  const shown = new Set(["cache-control", "content-language", "content-length", "content-type", "expires", "last-modified", "pragma"]);
  const list = (text) => text.toLowerCase().split(/\s*,\s*/);
  // What a browser does of the Fetch standard's CORS.
  const browser = async (url, { headers, ...init }) => {
    const fields = new Headers(headers);
    const asking = [...fields.keys()].filter((name) => !safelisted.has(name));
    const preflight = await globalThis.fetch(url, {
      method: "OPTIONS",
      headers: { origin: PAGE, "access-control-request-method": init.method, "access-control-request-headers": asking.join(",") },
    });
    assert.ok(preflight.ok);
    assert.equal(preflight.headers.get("access-control-allow-origin"), PAGE);
    const allowed = list(preflight.headers.get("access-control-allow-headers"));
    for (const name of asking) assert.ok(allowed.includes(name), name);
    assert.ok(list(preflight.headers.get("access-control-allow-methods")).includes(init.method.toLowerCase()));
    fields.set("origin", PAGE);
    const response = await globalThis.fetch(url, { ...init, headers: fields });
    assert.equal(response.headers.get("access-control-allow-origin"), PAGE);
    const exposed = list(response.headers.get("access-control-expose-headers"));
    const visible = [...response.headers].filter(([name]) => shown.has(name) || exposed.includes(name));
    return new Response(response.body, { status: response.status, headers: visible });
  };
  for (const streamed of [false, true]) {
    for (const exchange of [true, { expose: ["authorization"] }, { tunnel: at("signed", "/gateway") }]) {
      const api = through("signed", { exchange, streamed, sign: true, idempotent: true }, { identity: alice, fetch: browser });
      for (const init of [{ method: "GET" }, { method: "PUT", body: "x" }, { method: "POST", body: new Blob(["x"]).stream(), duplex: "half" }]) {
        const answer = await api(at("signed", "/x"), { ...init, headers: { authorization: "Bearer t", "x-own": "1" } });
        assert.match(await answer.text(), new RegExp(`^${init.method} /x`));
        assert.equal(answer.headers.get("x-app"), "yes");
      }
    }
  }
  const note = notes(alice, { fetch: browser });
  assert.equal((await note(at("store", "/store/cors"), { method: "PUT", body: "milk" })).status, 201);
  assert.equal(await (await note(at("store", "/store/cors"))).text(), "milk");
});

test("it works in ky", async () => {
  const api = ky.create({ prefixUrl: services.open.origin, fetch: through("open", { exchange: true }), retry: 0 });
  assert.equal(await api.post("notes", { json: { a: 1 } }).text(), 'POST /notes {"a":1}');
  await assert.rejects(api.get("status/404"), { name: "HTTPError" });
});

test("it works in openapi-fetch", async () => {
  const client = createClient({ baseUrl: services.open.origin, fetch: through("open", { exchange: true }) });
  const { data, response } = await client.PUT("/notes/{id}", { params: { path: { id: "17" } }, body: { a: 1 }, parseAs: "text" });
  assert.equal(data, 'PUT /notes/17 {"a":1}');
  assert.equal(response.status, 200);
});

test("it works in axios", async () => {
  const api = axios.create({ adapter: "fetch", env: { fetch: through("open", { exchange: true }) } });
  const { data } = await api.patch(at("open", "/notes"), { a: 1 });
  assert.equal(data, 'PATCH /notes {"a":1}');
  await assert.rejects(api.get(at("open", "/status/500")), { name: "AxiosError" });
  const note = axios.create({ adapter: "fetch", env: { fetch: notes(alice) } });
  await note.put(at("store", "/store/axios"), "milk", { fetchOptions: { sealwire: { version: 1 } } });
  assert.equal((await note.get(at("store", "/store/axios"))).data, "milk");
});
