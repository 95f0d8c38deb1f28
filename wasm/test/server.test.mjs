// The service in Node, called by the Rust client, and attacked with the tower layer beside it as the measure.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, mock, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { Identity, signRequest } from "sealwire";
import { fromListener, toListener } from "sealwire/node";
import { MemoryReplayCache, ServiceKeys, createGateway, createService, openExchange } from "sealwire/server";

const root = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);
const text = new TextDecoder();
let device, other, client;

before(async () => {
  [device, other] = [await Identity.generate({ kem: "X25519" }), await Identity.generate({ kem: "X25519" })];
  await run("cargo", ["build", "--quiet", "--locked", "--example", "web_client"], { cwd: root });
  const examples = join(root, "examples/node");
  if (!existsSync(join(examples, "node_modules"))) {
    await run("npm", ["ci", "--no-fund", "--no-audit", "--loglevel=error"], { cwd: examples });
  }
  client = join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), "debug/examples/web_client");
});

/** The Rust client's output. */
async function rust(what, { origin, pin }, ...identities) {
  const secrets = identities.map((identity) => text.decode(identity.reveal()));
  const { stdout } = await run(client, [what, origin, `${pin}`, ...secrets], { timeout: 60_000 });
  return stdout;
}

/** A service on loopback in front of `app`. */
async function serve(app, options = {}) {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  const origin = `http://127.0.0.1:${server.address().port}`;
  const identity = await Identity.generate({ kem: "X25519" });
  const events = [];
  const service = await createService({
    origin,
    keys: await ServiceKeys.generate({ kem: "X25519", lifetime: 3600 }),
    identity,
    verify: { signers: [device.signer, other.signer] },
    plain: ["/health"],
    signedOnly: ["/store/{id}"],
    unsigned: ["/open/{rest..}"],
    stream: ["/upload/{id}"],
    tunnel: "/ohttp",
    observer: ({ operation, code }) => events.push([operation, code]),
    ...options,
  });
  server.on("request", toListener((request) => service.handle(request, app), () => {}));
  return { origin, service, events, pin: identity.recipient.pin };
}

/** What the Rust client expects. */
function echo() {
  const stored = new Map();
  const uploaded = withResolvers();
  const go = withResolvers();
  return async (request, signer) => {
    const url = new URL(request.url);
    const path = url.pathname;
    if (path === "/health") return new Response("well");
    if (path.startsWith("/status/")) return new Response(null, { status: Number(path.slice(8)) });
    if (path === "/length") return new Response(`${(await request.arrayBuffer()).byteLength}`);
    if (path === "/go") {
      go.resolve();
      return new Response();
    }
    if (path === "/events") {
      const made = async function* () {
        yield "data: 1\n\n";
        await go.promise;
        yield "data: 2\n\n";
      };
      return new Response(bytesOf(made()), { headers: { "content-type": "text/event-stream" } });
    }
    if (path === "/large") {
      const piece = "x".repeat(1 << 20);
      const made = async function* () {
        for (let n = 0; n < 32; n += 1) yield piece;
      };
      return new Response(bytesOf(made()));
    }
    if (path === "/breaks") {
      const made = async function* () {
        yield "half";
        await new Promise((later) => setTimeout(later, 100));
        throw new Error("the disk is gone");
      };
      return new Response(bytesOf(made()));
    }
    // An app's mistake: text where bytes belong.
    if (path === "/mistake") return new Response(new ReadableStream({ pull: (controller) => controller.enqueue("text") }));
    if (path === "/uploaded") return new Response(`${await uploaded.promise}`);
    if (path.startsWith("/upload/")) {
      let length = 0;
      for await (const piece of request.body) {
        length += piece.length;
        if (length === 1000) uploaded.resolve(length);
      }
      return new Response(`${length}`);
    }
    if (path.startsWith("/store/") && request.method === "PUT") {
      stored.set(path, [request.headers.get("content-type"), await request.arrayBuffer()]);
      return new Response(null, { status: 201 });
    }
    if (path.startsWith("/store/")) {
      const [type, body] = stored.get(path);
      return new Response(body, { headers: { "content-type": type } });
    }
    const headers = new Headers({ "x-signer": `${signer}`, "x-inner": request.headers.get("x-inner") ?? "", connection: "close" });
    headers.append("set-cookie", "a=1");
    headers.append("set-cookie", "b=2");
    return new Response(`${request.method} ${path}${url.search} ${await request.text()}`, { headers });
  };
}

function withResolvers() {
  let resolve;
  const promise = new Promise((go) => (resolve = go));
  return { promise, resolve };
}

function bytesOf(made) {
  const encoder = new TextEncoder();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await made.next();
      if (done) controller.close();
      else controller.enqueue(encoder.encode(value));
    },
  });
}

test("everything that the Rust client can do", async () => {
  await rust("calls", await serve(echo()), device);
});

test("the same through a Node listener and back", async () => {
  const app = echo();
  const listener = toListener((request) => app(request, request.headers.get("x-test-signer")), () => {});
  const through = fromListener((incoming, outgoing) => {
    incoming.rawHeaders.push("x-test-signer", `${incoming.signer}`);
    listener(incoming, outgoing);
  });
  await rust("calls", await serve(through), device);
});

test("what a Node listener answers and a Response does not have fails that answer alone, also where it is written later", async () => {
  const answer = (write, asks = () => {}) =>
    fromListener((incoming, outgoing) => void setTimeout(() => (asks(incoming, outgoing), write(outgoing)), 5))(new Request("http://localhost/x"));
  for (const status of [101, 600, 999]) {
    const written = (outgoing) => {
      outgoing.statusCode = status;
      outgoing.end("x");
    };
    await assert.rejects(answer(written), RangeError);
  }
  const asks = ({ socket }, outgoing) => {
    socket.setNoDelay(true).setKeepAlive(true).setTimeout(10).unref().ref();
    outgoing.setTimeout(10);
  };
  assert.equal(await (await answer((outgoing) => outgoing.end("x"), asks)).text(), "x");
});

test("what is refused, as the tower layer refuses it, and told alike", async () => {
  const service = await serve(echo());
  const told = JSON.parse(await rust("hostile", service, device, other));
  assert.ok(told.length > 45, `${told.length}`);
  assert.deepEqual(service.events, told);
});

test("a key that the service does not have (any more) is named in clear, a rotated one is taken", async () => {
  const keys = await ServiceKeys.generate({ kem: "X25519", lifetime: 3600 });
  const [store, saved] = memoryStore();
  await keys.save(store, "keys");
  const first = await serve(echo(), { keys });
  // Another process of the service, with what was saved.
  const second = await ServiceKeys.load(store, "keys");
  keys.rotate();
  await keys.save(store, "keys");
  await second.reload(store, "keys");
  assert.equal(await ServiceKeys.load(store, "nothing"), undefined);
  const short = await ServiceKeys.generate({ kem: "X25519", lifetime: 1 });
  await short.save(store, "short");
  mock.timers.enable({ apis: ["Date"], now: Date.now() + 2000 });
  try {
    assert.equal(await ServiceKeys.load(store, "short"), undefined);
    await assert.rejects(second.reload(store, "short"), { code: "Expired" });
  } finally {
    mock.timers.reset();
  }
  assert.ok(saved.get("keys").length > 100);
  await assert.rejects(second.reload(store, "nothing"), { code: "Misuse" });
  await rust("calls", first, device);
  const response = await post(first, "/open/a", "message/ohttp-req", new Uint8Array(100));
  assert.deepEqual([response.status, response.headers.get("content-type")], [400, "application/problem+json"]);
  assert.deepEqual(first.events.at(-1), ["open", "InvalidKey"]);
  assert.equal((await response.json()).type, "https://iana.org/assignments/http-problem-types#ohttp-key");
  await assert.rejects(createService({ origin: first.origin, keys, identity: device }), { code: "Misuse" });
});

test("two services share one replay cache, one in memory is bounded and knows nothing from before it began", async () => {
  const seen = new Map();
  const replay = {
    async insert(id, _made, until) {
      const key = Buffer.from(id).toString("hex");
      assert.equal(key.length, 64);
      const fresh = !seen.has(key);
      seen.set(key, until);
      return fresh;
    },
  };
  const shared = { keys: await ServiceKeys.generate({ kem: "X25519", lifetime: 3600 }), identity: other };
  const [store] = memoryStore();
  await shared.keys.save(store, "keys");
  const answers = [];
  // One in front, which hands the same bytes to both.
  const front = createServer();
  front.listen(0, "127.0.0.1");
  await once(front, "listening");
  after(() => front.close());
  const origin = `http://127.0.0.1:${front.address().port}`;
  const options = { origin, identity: other, verify: { signers: [device.signer] }, replay, plain: ["/health"] };
  const one = await createService({ ...options, keys: shared.keys });
  const two = await createService({ ...options, keys: await ServiceKeys.load(store, "keys") });
  front.on("request", toListener(async (request) => {
    const [to, copy] = [request, request.clone()];
    const answered = await one.handle(to, () => new Response("hello"));
    const again = await two.handle(copy, () => new Response("let in twice", { status: 500 }));
    if (!copy.url.includes("well-known")) answers.push([answered.status, again.status]);
    return answered;
  }));
  // The client does not get the 404 that it expects, and ends.
  await assert.rejects(rust("notes", { origin, pin: other.recipient.pin }, device));
  assert.deepEqual(answers, [[200, 401]]);
  assert.equal(seen.size, 2);

  const memory = new MemoryReplayCache({ capacity: 2 });
  const now = Math.floor(Date.now() / 1000);
  const id = (n) => new Uint8Array(32).fill(n);
  assert.equal(await memory.insert(id(1), now + 1, now + 600, now), true);
  assert.equal(await memory.insert(id(1), now + 1, now + 600, now), false);
  await assert.rejects(memory.insert(id(2), now - 100, now + 600, now), { code: "Expired" });
  assert.equal(await memory.insert(id(2), now + 1, now + 600, now), true);
  await assert.rejects(memory.insert(id(3), now + 1, now + 600, now), { code: "Store" });
  assert.equal(await memory.insert(id(3), now + 1, now + 900, now + 700), true);
  assert.throws(() => new MemoryReplayCache({ capacity: 0 }), { code: "Misuse" });
});

test("a cache that is out of reach refuses", async () => {
  const replay = { insert: () => Promise.reject(new Error("no connection")) };
  const service = await serve(echo(), { replay });
  await assert.rejects(rust("notes", service, device));
  assert.deepEqual(service.events.at(-1), ["verify", "Store"]);
});

test("signers are looked up by their key id, and only who is asked for counts", async () => {
  const asked = [];
  const signers = async (keyId) => {
    asked.push(keyId);
    return device.signer;
  };
  const service = await serve(echo(), { verify: { signers } });
  await rust("calls", service, device);
  assert.match(asked[0], /^[\w-]{43}$/);
  await assert.rejects(rust("calls", service, other));
  assert.deepEqual(service.events.at(-1), ["verify", "Rejected"]);
});

test("a gateway verifies in a worker, with public keys alone", async () => {
  const worker = new Worker(new URL("gateway.worker.mjs", import.meta.url));
  after(() => worker.terminate());
  const waiting = new Map();
  worker.on("message", ({ n, ...answer }) => waiting.get(n)(answer));
  const ask = (request) => new Promise((resolve) => {
    waiting.set(waiting.size, resolve);
    worker.postMessage({ n: waiting.size - 1, ...request });
  });
  const verdicts = [];
  // In front of the service: what the worker lets in goes on.
  const front = createServer();
  front.listen(0, "127.0.0.1");
  await once(front, "listening");
  after(() => front.close());
  const origin = `http://127.0.0.1:${front.address().port}`;
  await ask({ origin, signers: [`${device.signer}`] });
  const behind = await createService({
    origin,
    keys: await ServiceKeys.generate({ kem: "X25519", lifetime: 3600 }),
    identity: other,
    verify: { signers: [device.signer, other.signer] },
    signedOnly: ["/store/{id}"],
    stream: ["/upload/{id}"],
    tunnel: "/ohttp",
    plain: ["/health"],
  });
  const app = echo();
  front.on("request", toListener(async (request) => {
    const { method, url, headers } = request;
    const body = request.body && new Uint8Array(await request.arrayBuffer());
    const { status, signer, refusal } = await ask({ method, url, fields: [...headers], body });
    verdicts.push(status);
    if (refusal) return new Response(refusal[1], { status, headers: refusal[0] });
    assert.ok(signer === `${device.signer}` || /well-known|health/.test(url));
    return behind.handle(new Request(url, { method, headers, body, ...(body && { duplex: "half" }) }), app);
  }));
  const pin = other.recipient.pin;
  await assert.rejects(rust("calls", { origin, pin }, other));
  assert.deepEqual(verdicts.splice(0), [200, 401]);
  // Good; a replay; signed anew, which the service refuses; and unsigned, which the gateway lets nobody, so that the client ends.
  await assert.rejects(rust("hostile", { origin, pin }, device, other), /unsigned where that is enough/);
  assert.deepEqual(verdicts, [200, 200, 401, 200, 401]);
});

test("who goes away frees what was made for them", async () => {
  const cancelled = withResolvers();
  const aborted = withResolvers();
  const service = await serve((request) => {
    request.signal.addEventListener("abort", aborted.resolve);
    const body = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(1000)), cancel: cancelled.resolve });
    return new Response(body);
  });
  const gone = new AbortController();
  const response = await fetch(`${service.origin}/health`, { signal: gone.signal });
  await response.body.getReader().read();
  gone.abort();
  await Promise.all([cancelled.promise, aborted.promise]);
});

test("what does not fit into memory, or does not come, is refused", async () => {
  const small = await serve(echo(), { memory: 1000 });
  const type = "message/ohttp-chunked-req";
  assert.equal((await post(small, "/open/a", type, new Uint8Array(2000))).status, 503);
  assert.equal((await post(small, "/open/a", type, new Uint8Array(500))).status, 400);
  const slow = await serve(echo(), { bodyTimeout: 100 });
  const body = new ReadableStream({ pull: () => new Promise(() => {}) });
  const request = new Request(`${slow.origin}/open/a`, { method: "POST", headers: { "content-type": type }, body, duplex: "half" });
  const refused = await openExchange(request, slow.service);
  assert.equal(refused.status, 400);
  assert.deepEqual(slow.events.at(-1), ["open", "Network"]);
});

test("mistakes are said, and leave the module as it is", async () => {
  const [store] = memoryStore();
  const keys = await ServiceKeys.generate({ kem: "X25519" });
  const right = { origin: "https://api.example.com", keys, identity: device };
  for (const wrong of [
    { origin: 7 }, { origin: "https://api.example.com/" }, { keys: {} }, { identity: {} }, { verify: {} }, { plain: ["notes"] }, { plain: [7] },
    { verify: { signers: ["00"] } }, { window: -1 }, { maxBody: 0.5 }, { mounted: {} }, { allowOrigins: [7] }, { nextPins: ["x"] }, { memory: NaN }, { bodyTimeout: Infinity }, { bodyTimeout: 2 ** 31 },
    { signedOnly: ["/notes/{id}"] }, { plain: ["/a"], unsigned: ["/a"] },
    { verify: { signers: [device.signer] }, plain: ["/a"], signedOnly: ["/a"] }, { verify: { signers: [device.signer] }, signedOnly: ["/a"], unsigned: ["/a"] },
    { allowOrigins: ["https://app.example/"] }, { allowOrigins: ["https://app.example/path"] }, { allowOrigins: ["app.example"] }, { allowOrigins: ["*"] },
  ]) {
    await assert.rejects(createService({ ...right, ...wrong }), ({ code }) => ["Misuse", "Malformed", "InvalidKey"].includes(code), JSON.stringify(wrong));
  }
  await assert.rejects(createGateway({ origin: right.origin }), { code: "Misuse" });
  await assert.rejects(ServiceKeys.generate({ lifetime: 8 * 24 * 3600 }), { code: "Misuse" });
  await store.save("keys", new Uint8Array([0x82]));
  await assert.rejects(ServiceKeys.load(store, "keys"), ({ code }) => ["Malformed", "Truncated"].includes(code));
  assert.ok(Math.abs(keys.expires - Date.now() - 7 * 24 * 3600_000) < 60_000);
  // Nothing was lost: the keys are free for a service, and the module is the same.
  const service = await createService(right);
  const answer = await service.handle(new Request("https://api.example.com/.well-known/sealwire-keys"), assert.fail);
  assert.equal(answer.status, 200);
  await assert.rejects(service.handle("https://api.example.com/", assert.fail), { code: "Misuse" });
  for (const other of [undefined, {}, createService(right).catch(() => {})]) {
    await assert.rejects(openExchange(new Request("https://api.example.com/"), other), { code: "Misuse" });
  }
  await keys.save(store, "keys");
  const odd = await createGateway({ origin: right.origin, verify: { signers: () => ({ toString: () => String(device.signer) }) } });
  await assert.rejects(odd.verify(await signRequest(new Request("https://api.example.com/x"), device)), { code: "Misuse" });
});

test("pages of other origins are asked in", async () => {
  const page = "https://app.example";
  const service = await serve(echo(), { allowOrigins: [page] });
  const ask = (method, headers) => fetch(`${service.origin}/health`, { method, headers: { origin: page, ...headers } });
  const preflight = await ask("OPTIONS", { "access-control-request-method": "POST" });
  assert.deepEqual([preflight.status, preflight.headers.get("access-control-allow-origin")], [204, page]);
  const answer = await ask("GET", {});
  assert.equal(answer.headers.get("access-control-allow-origin"), page);
  assert.match(answer.headers.get("vary"), /origin/);
  const gateway = await createGateway({ origin: service.origin, verify: { signers: [device.signer] }, allowOrigins: [page] });
  const refused = await gateway.verify(new Request(`${service.origin}/a`, { headers: { origin: page } }));
  assert.deepEqual([refused.status, refused.headers.get("access-control-allow-origin")], [401, page]);
});

for (const example of ["hono", "express"]) {
  test(`the ${example} example`, async () => {
    const folder = fileURLToPath(new URL("../../examples/node", import.meta.url));
    const keys = await mkdtemp(join(tmpdir(), "sealwire-"));
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const env = { ...process.env, ORIGIN: `http://127.0.0.1:${port}`, SIGNERS: `${device.signer}`, KEYS: keys };
    for (let start = 0; start < 2; start += 1) {
      const child = spawn(process.execPath, [`${example}.mjs`], { cwd: folder, env, stdio: ["ignore", "pipe", "inherit"] });
      try {
        const [line] = await once(createInterface(child.stdout), "line");
        const [origin, pin] = line.split(" ");
        await rust("notes", { origin, pin }, device);
      } finally {
        child.kill();
        await once(child, "exit");
      }
    }
    await rm(keys, { recursive: true });
  });
}

function memoryStore() {
  const saved = new Map();
  const store = {
    save: async (name, secret) => void saved.set(name, secret.slice()),
    load: async (name) => saved.get(name)?.slice(),
  };
  return [store, saved];
}

function post({ origin }, path, type, body) {
  return fetch(`${origin}${path}`, { method: "POST", headers: { "content-type": type }, body });
}
