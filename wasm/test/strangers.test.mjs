// A client and a service in one process, and whoever stands between them, or in front of the service, with what has no end or comes too late.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { Identity, SealContext, seal, sealedFetch } from "../dist/esm/node.js";
import { MemoryReplayCache, ServiceKeys, createService, openExchange } from "../dist/esm/server.js";

const origin = "https://api.example.com";
const KEYS = "/.well-known/sealwire-keys";
let device, identity;

before(async () => {
  [device, identity] = [await Identity.generate({ kem: "X25519" }), await Identity.generate({ kem: "X25519" })];
});

/** A service, what it has told, and a fetch that comes to it past `between`. */
async function serve(options = {}, app = async (request) => new Response(await request.arrayBuffer())) {
  const events = [];
  const service = await createService({
    origin,
    keys: await ServiceKeys.generate({ kem: "X25519", lifetime: 7200 }),
    identity,
    verify: { signers: [device.signer] },
    unsigned: ["/open/{rest..}"],
    stream: ["/open/upload"],
    observer: ({ operation, code }) => events.push([operation, code]),
    ...options,
  });
  const handled = (url, init) => service.handle(new Request(url, init), app);
  const calling = (rule = {}, { between = handled, ...settings } = {}) =>
    sealedFetch(
      { services: { [origin]: { pins: [identity.recipient.pin] } }, rules: [{ origin, path: "/{rest..}", exchange: true, ...rule }] },
      { fetch: (url, init) => (url.endsWith(KEYS) ? handled(url, init) : between(url, init, handled)), ...settings },
    );
  return { service, events, calling, handled };
}

/** What a call sent. */
async function captured({ calling }, path, body) {
  let sent;
  const between = async (url, init, handled) => {
    sent = { headers: init.headers, body: new Uint8Array(await new Response(init.body).arrayBuffer()) };
    return handled(url, { ...init, body: sent.body });
  };
  await calling({ streamed: true }, { between })(`${origin}${path}`, { method: "POST", body });
  return sent;
}

/** The first bytes, and then nothing. */
function stalled(bytes) {
  let given = false;
  return new ReadableStream(
    {
      pull(controller) {
        if (given) return new Promise(() => {});
        given = true;
        controller.enqueue(bytes);
      },
    },
    { highWaterMark: 0 },
  );
}

async function soon(promise) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error("it hangs")), 3000)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

test("an answer without an end, in the place of the keys, is not read to it", async () => {
  let ended = 0;
  const endless = (fill) =>
    new ReadableStream({
      async pull(controller) {
        await new Promise((later) => setImmediate(later));
        controller.enqueue(new Uint8Array(16_384).fill(fill));
      },
      cancel: () => (ended += 1),
    });
  for (const [type, code] of [["application/vnd.sealwire-keys", "TooLarge"], ["text/html", "Unsealed"]]) {
    const { calling, handled } = await serve();
    const fetch = async () => new Response(endless(7), { headers: { "content-type": type } });
    await assert.rejects(soon(calling({}, { fetch })(`${origin}/open/x`)), { code });
    // With keys from an hour ago it goes by those.
    let hostile = false;
    const api = calling({}, { fetch: (url, init) => (hostile && url.endsWith(KEYS) ? fetch() : handled(url, init)) });
    await api(`${origin}/open/x`);
    hostile = true;
    const clock = Date.now;
    Date.now = () => clock() + 3_700_000;
    try {
      assert.equal((await soon(api(`${origin}/open/x`))).status, 200);
    } finally {
      Date.now = clock;
    }
  }
  assert.equal(ended, 4);
});

test("strangers who fill what is remembered keep no known device out", async () => {
  const { calling, events } = await serve({ replayUnsigned: new MemoryReplayCache({ capacity: 3 }) });
  const unsigned = () => calling()(`${origin}/open/x`, { method: "POST", body: "x" });
  for (let n = 0; n < 3; n += 1) assert.equal((await unsigned()).status, 200);
  await assert.rejects(unsigned(), { code: "Unsealed", status: 503 });
  assert.deepEqual(events.at(-1), ["open", "Store"]);
  assert.equal((await calling({ sign: true }, { identity: device })(`${origin}/x`)).status, 200);

  // One cache for both is one for both.
  const shared = await serve({ replay: new MemoryReplayCache({ capacity: 1 }) });
  assert.equal((await shared.calling()(`${origin}/open/x`)).status, 200);
  await assert.rejects(shared.calling({ sign: true }, { identity: device })(`${origin}/x`), { code: "Unsealed", status: 503 });
});

test("strangers hold half of the memory, and each no longer than a body may take", async () => {
  const service = await serve({ memory: 100_000, bodyTimeout: 1000 });
  const { headers, body } = await captured(service, "/open/x", new Uint8Array(40_000));
  const send = () =>
    openExchange(new Request(`${origin}/open/x`, { method: "POST", headers, body: stalled(body.subarray(0, 40_000)), duplex: "half" }), service.service);
  const slow = send();
  await new Promise((later) => setTimeout(later, 50));
  assert.equal((await send()).status, 503);
  const signed = service.calling({ sign: true }, { identity: device });
  assert.equal((await signed(`${origin}/x`, { method: "POST", body: new Uint8Array(30_000) })).status, 200);
  assert.equal((await soon(slow)).status, 400);
  // It is given back.
  assert.equal((await service.calling()(`${origin}/open/x`, { method: "POST", body: new Uint8Array(30_000) })).status, 200);
});

test("the body of what is refused by its head alone is cancelled", async () => {
  const { service } = await serve({ signedOnly: ["/store/{id}"] });
  for (const [path, type, status] of [["/x", "text/plain", 401], ["/open/x", "text/plain", 400], ["/x", "message/ohttp-req", 401], ["/store/1", "text/plain", 401]]) {
    let cancelled;
    const body = new ReadableStream({ pull: () => new Promise(() => {}), cancel: () => void (cancelled = true) });
    const request = new Request(origin + path, { method: "POST", headers: { "content-type": type }, body, duplex: "half" });
    assert.equal((await soon(openExchange(request, service))).status, status, path);
    assert.ok(cancelled, path);
  }
});

test("the body of what an app fails on is cancelled", async () => {
  const failed = new Error("the database is gone");
  const service = await serve({}, () => {
    throw failed;
  });
  const cancelled = [];
  const between = async (url, init, handled) => {
    const whole = new Uint8Array(await new Response(init.body).arrayBuffer());
    const stream = stalled(whole.subarray(0, 40_000));
    const passed = new ReadableStream({ pull: (to) => reader.read().then(({ value }) => to.enqueue(value)), cancel: (why) => void cancelled.push(why) }, { highWaterMark: 0 });
    const reader = stream.getReader();
    return handled(url, { ...init, body: passed, duplex: "half" });
  };
  const call = service.calling({ streamed: true }, { between })(`${origin}/open/upload`, { method: "POST", body: new Uint8Array(60_000) });
  await assert.rejects(soon(call), (error) => error.cause === failed);
  assert.deepEqual(cancelled, [failed]);
});

test("a body that streams to the app may not stall either", async () => {
  let tell;
  const told = new Promise((resolve) => (tell = resolve));
  const service = await serve({ bodyTimeout: 200 }, async (request) => {
    await request.arrayBuffer().then(() => tell("whole"), tell);
    return new Response("x");
  });
  const between = async (url, init, handled) => {
    const whole = new Uint8Array(await new Response(init.body).arrayBuffer());
    return handled(url, { ...init, body: stalled(whole.subarray(0, 40_000)), duplex: "half" });
  };
  await soon(service.calling({ streamed: true }, { between })(`${origin}/open/upload`, { method: "POST", body: new Uint8Array(60_000) }));
  assert.equal((await soon(told)).code, "Network");
});

test("an answer that is there no more is a sealed 500, and an observer that throws decides nothing", async () => {
  const used = async () => {
    const response = new Response("x");
    await response.text();
    return response;
  };
  const locked = () => {
    const response = new Response("x");
    response.body.getReader();
    return response;
  };
  const throwing = () => {
    throw new Error("it is only told");
  };
  // A rejection that nobody hears would end the process.
  for (const observer of [throwing, async () => throwing()]) {
    for (const app of [used, locked]) {
      const { calling } = await serve({ observer }, app);
      for (const streamed of [false, true]) assert.equal((await calling({ streamed }, { observer })(`${origin}/open/x`)).status, 500);
    }
  }
});

test("aborting ends a call also where a body, a store or a fetch of the app's own never answers", async () => {
  const { calling } = await serve();
  const never = () => new Promise(() => {});
  let cancelled;
  const body = () => new ReadableStream({ pull: never, cancel: (reason) => (cancelled = reason) });
  const reason = new Error("enough");
  const request = (init) => new Request(`${origin}/open/x`, { method: "POST", duplex: "half", ...init });
  for (const call of [
    (signal) => calling()(`${origin}/open/x`, { method: "POST", body: body(), signal }),
    (signal) => calling()(request({ body: body(), signal })),
    (signal) => calling({}, { lastSeen: { load: never, save: never } })(`${origin}/open/x`, { signal }),
    (signal) => calling({}, { between: never })(`${origin}/open/x`, { signal }),
    (signal) => calling({}, { between: async (...sent) => new Response(new ReadableStream({ pull: never }), { headers: (await sent[2](...sent)).headers }) })(`${origin}/open/x`, { signal }),
  ]) {
    const abort = new AbortController();
    const waiting = call(abort.signal);
    setTimeout(() => abort.abort(reason), 20);
    await assert.rejects(soon(waiting), (error) => error === reason, `${call}`);
  }
  assert.equal(cancelled, reason);
});

test("the page's URL does not stand outside, unless the app says so", async () => {
  const { calling } = await serve();
  const seen = [];
  const between = (url, init, handled) => (seen.push(init.referrerPolicy), handled(url, init));
  await calling({}, { between })(`${origin}/open/x`);
  await calling({}, { between })(`${origin}/open/x`, { referrerPolicy: "origin" });
  assert.deepEqual(seen, ["no-referrer", "origin"]);
});

test("a number that was altered in the store of what was seen is not taken for none", async () => {
  const values = new Map();
  const lastSeen = { load: async (name) => values.get(name), save: async (name, value) => void values.set(name, value) };
  const envelope = await seal("x", device.recipient, new SealContext("notes", "17"), { sign: device, metadata: { version: 5 } });
  const rule = { origin, path: "/notes/{id}", seal: { namespace: "notes", id: "id", senders: [device.signer] } };
  const fetch = async () => new Response(envelope, { headers: { "content-type": "application/vnd.sealwire" } });
  const read = (store = lastSeen) => sealedFetch({ rules: [rule] }, { identity: device, lastSeen: store, fetch })(`${origin}/notes/17`);
  assert.equal((await read()).status, 200);
  const [[name, seen]] = values;
  assert.deepEqual([...seen], [0, 0, 0, 0, 0, 0, 0, 5]);
  for (const altered of [new Uint8Array(), seen.slice(1), new Uint8Array(9), "00000006", 4, {}]) {
    values.set(name, altered);
    await assert.rejects(read(), { code: "Malformed" });
    assert.equal(values.get(name), altered);
  }
  // As other stores say that there is nothing.
  assert.equal((await read({ ...lastSeen, load: async () => null })).status, 200);
});

test("a stream in an init that is refused is cancelled with the reason, and let go of", async () => {
  const { calling } = await serve();
  const url = `${origin}/open/x`;
  const refused = [
    { method: "G ET" }, { headers: { "bad name": "x" } }, { signal: 5 }, { integrity: "sha256-x" }, { sealwire: { nobody: 1 } }, { sealwire: 5 }, { url: "nowhere" },
  ];
  for (const { url: asked = url, ...wrong } of refused) {
    let reason;
    const body = new ReadableStream({ pull: () => new Promise(() => {}), cancel: (why) => void (reason = why) });
    const error = await calling()(asked, { method: "POST", body, duplex: "half", ...wrong }).catch((error) => error);
    assert.ok(error instanceof Error && reason === error && !body.locked, `${Object.keys(wrong)}: ${error}`);
  }
});

test("an init is read as fetch reads it, and each member once", async () => {
  let seen;
  const { calling } = await serve({}, async (request) => {
    seen = [request.method, request.headers.get("x-own"), await request.text()];
    return new Response();
  });
  const url = `${origin}/open/x`;
  class Init {
    method = "POST";
    get headers() {
      return new Map([["x-own", "1"]]).entries();
    }
    get body() {
      return "text";
    }
  }
  for (const init of [new Init(), { ...new Init(), body: "text", headers: [["x-own", "1"]].values() }, new Request(url, { method: "POST", headers: { "x-own": "1" }, body: "text" })]) {
    await calling()(url, init);
    assert.deepEqual(seen, ["POST", "1", "text"]);
  }
  await calling()(url, null);
  assert.deepEqual(seen, ["GET", null, ""]);
  // A page that wants no other origin to be asked is not given one.
  const modes = [];
  const between = (asked, init, handled) => (modes.push(init.mode), handled(asked, { ...init, mode: undefined }));
  await calling({}, { between })(url, { mode: "same-origin" });
  await calling({}, { between })(url);
  assert.deepEqual(modes, ["same-origin", undefined]);
});
