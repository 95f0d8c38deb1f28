// The service in Node, called by the Rust client, and attacked with the tower layer beside it as the measure.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { Identity } from "sealwire";
import { fromListener, toListener } from "sealwire/node";
import { MemoryReplayCache, ServiceKeys, createGateway, createService, openExchange, verifyRequest } from "sealwire/server";

const root = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);
const text = new TextDecoder();
let device, other, client;

before(async () => {
  [device, other] = [await Identity.generate({ kem: "X25519" }), await Identity.generate({ kem: "X25519" })];
  await run("cargo", ["build", "--quiet", "--locked", "-p", "sealwire-tests", "--example", "web_client"], { cwd: root });
  client = join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), "debug/examples/web_client");
});

/** The Rust client's output. */
async function rust(what, { origin, pin }, ...identities) {
  const secrets = identities.map((identity) => text.decode(identity.reveal()));
  const { stdout } = await run(client, [what, origin, `${pin}`, ...secrets], { timeout: 15_000 });
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
  let uploaded = Promise.withResolvers?.() ?? withResolvers();
  const go = withResolvers();
  return async (request, signer) => {
    if (process.env.TRACE) console.error(request.method, request.url);
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

test("what is refused, as the tower layer refuses it, and told alike", async () => {
  const service = await serve(echo());
  const told = JSON.parse(await rust("hostile", service, device, other));
  assert.ok(told.length > 45, `${told.length}`);
  assert.deepEqual(service.events, told);
});
