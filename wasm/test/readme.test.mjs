// Every code block of the README runs as it stands, against services on loopback. What a block takes as given (`file`, `store`, `app`, …) is made here.

import "fake-indexeddb/auto";
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { Identity, MemoryStore, Recipient, SealContext, open, sealedFetch, signRequest, storageHealth } from "sealwire";
import { toListener } from "sealwire/node";
import { ServiceKeys, createService } from "sealwire/server";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
/** `[language, code]` of each, in their order; what is indented is a block, too. */
const blocks = [...readme.matchAll(/^```(\w+)\n([^]*?)^```$|^\n((?: {4}.*\n)+)/gm)].map(([, language = "", code, indented]) => [language, code ?? indented]);
/** A block that no test takes is one that nobody runs. */
const left = new Set(blocks);
after(() => assert.deepEqual([...left].map(([, code]) => code), []));

/** The one block that has this in it. */
function block(language, part) {
  const found = blocks.filter((block) => block[0] === language && block[1].includes(part));
  assert.equal(found.length, 1, `one block with ${part}`);
  left.delete(found[0]);
  return found[0][1];
}

/** Runs a block with these given, and gives what it exports or returns, and the values of its own names that are `wanted`. */
async function run(code, given = {}, ...wanted) {
  const body = code
    .replaceAll(/^import (\{[^}]*\}) from ("[^"]*");$/gm, "const $1 = await import_($2);")
    .replaceAll(/^export default /gm, "return ");
  const names = Object.keys(given);
  const AsyncFunction = (async () => {}).constructor;
  const block = new AsyncFunction("import_", ...names, `${body}\nreturn { ${wanted.join(", ")} };`);
  return block((name) => import(name), ...Object.values(given));
}

/** A server on loopback: its origin, and what answers from now on. */
async function serve() {
  const served = { answer: undefined };
  const server = createServer(toListener((request) => served.answer(request)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  served.origin = `http://127.0.0.1:${server.address().port}`;
  return served;
}

/** What only stores: the last body of each path. */
function storing(stored = new Map()) {
  return async (request) => {
    const { pathname } = new URL(request.url);
    if (request.method === "PUT") {
      stored.set(pathname, [await request.arrayBuffer(), request.headers.get("content-type") ?? ""]);
      return new Response(null, { status: 204 });
    }
    const [body, type] = stored.get(pathname) ?? [];
    return body === undefined ? new Response(null, { status: 404 }) : new Response(body, { headers: { "content-type": type } });
  };
}

const context = new SealContext("notes", "17");
/** A console whose lines can be looked at. */
const listening = (lines = []) => [lines, { log: (...what) => lines.push(what.join(" ")) }];
let alice, bob, toBob;

before(async () => {
  [alice, bob] = [await Identity.generate(), await Identity.generate()];
  toBob = await Recipient.parse(bob.recipient.toString());
});

test("the first message", async () => {
  const [lines, console] = listening();
  await run(block("js", "what Bob pastes to Alice"), { console });
  assert.deepEqual(lines, ["meet me at noon"]);
});

test("installing names the package, and Vite's configuration too", async () => {
  const { name } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  assert.equal(block("", "npm install").trim(), `npm install ${name}`);
  assert.deepEqual(await run(block("js", "vite.config.js")), { optimizeDeps: { exclude: [name] } });
});

test("a large file", async () => {
  const server = await serve();
  const stored = new Map();
  server.answer = storing(stored);
  const file = new Blob(["a large file ".repeat(100_000)]);
  const written = [];
  const handle = { createWritable: async () => new WritableStream({ write: (piece) => void written.push(piece) }) };
  const given = { file, handle, toBob, bob, context, url: `${server.origin}/file` };
  const { signer, about } = await run(block("js", "sealStream"), given, "signer", "about");
  assert.equal(await new Blob(written).text(), await file.text());
  assert.deepEqual([signer, about.addressedToMe], [undefined, "unstated"]);
  const [sealed] = stored.get("/file");
  assert.equal((await open(sealed, bob, context)).plaintext.length, file.size);
  assert.ok(sealed.byteLength > file.size + 2000, "it is padded");
});

test("an API is wrapped by the lines that the diff adds", async () => {
  const server = await serve();
  const asked = [];
  const identity = await Identity.generate({ kem: "X25519" });
  const service = await createService({ origin: server.origin, keys: await ServiceKeys.generate(), identity });
  const app = (request) => (asked.push([new URL(request.url).pathname, request.headers.get("authorization")]), new Response("a note"));
  server.answer = (request) => service.handle(request, app);

  const added = block("diff", "sealedFetch").replaceAll(/^[+ ]/gm, "");
  const calls = added.split("\n").filter((line) => line.includes("await fetch("));
  assert.equal(calls.length, 1, "the call stays as it is");
  const code = added.replaceAll("https://api.example.com", server.origin).replace("sealwire-pin1…", identity.recipient.pin.toString());
  const { answer } = await run(code, { authorization: "Bearer token" }, "answer");
  assert.equal(await answer.text(), "a note");
  assert.deepEqual(asked, [["/notes/17", "Bearer token"]]);
});

test("what preflights are to be answered is what a service answers", async () => {
  const wanted = new Map(block("", "access-control-allow-origin").trim().split("\n").map((line) => line.trim().split(": ")));
  const page = wanted.get("access-control-allow-origin");
  const [origin, identity] = ["https://api.example.com", await Identity.generate({ kem: "X25519" })];
  assert.ok(readme.includes(`allowOrigins: ["${page}"]`));
  const service = await createService({ origin, keys: await ServiceKeys.generate(), identity, plain: ["/"], allowOrigins: [page] });
  const answers = [];
  for (const method of ["OPTIONS", "GET"]) {
    const headers = { origin: page, "access-control-request-method": "PUT", "access-control-request-headers": wanted.get("access-control-allow-headers") };
    answers.push(await service.handle(new Request(`${origin}/`, { method, headers }), () => new Response("")));
  }
  const sorted = (list) => list.split(", ").sort();
  for (const [name, value] of wanted) {
    const answered = answers.map(({ headers }) => headers.get(name)).find((value) => value !== null);
    assert.deepEqual(sorted(answered ?? "nothing"), sorted(value), name);
  }
});

test("a service, an app behind it, and what is only stored", async () => {
  const server = await serve();
  const identity = await Identity.generate({ kem: "X25519" });
  const devices = new Map([[alice.signer.keyId, alice.signer]]);
  const store = new MemoryStore();
  const asked = [];
  const app = {
    fetch: (request, { signer } = {}) => {
      asked.push([new URL(request.url).pathname, signer?.toString()]);
      return app.stored(request);
    },
    stored: storing(),
  };
  const code = block("js", "createService").replaceAll("https://api.example.com", server.origin);
  const given = { store, identity, app, deviceOf: (keyId) => devices.get(keyId) };
  const served = await run(code, given);
  assert.ok((await store.load("keys")).length > 0);
  server.answer = served.fetch;

  const policy = { services: { [server.origin]: { pins: [identity.recipient.pin] } }, rules: [{ origin: server.origin, path: "/{rest..}", exchange: true, sign: true }] };
  const fetch = sealedFetch(policy, { identity: alice });
  assert.equal((await fetch(`${server.origin}/other`, { method: "PUT", body: "x" })).status, 204);
  await assert.rejects(sealedFetch(policy, { identity: bob })(`${server.origin}/other`), { code: "Unsealed", status: 401 });
  assert.equal((await globalThis.fetch(`${server.origin}/health`)).status, 404);
  assert.equal((await globalThis.fetch(`${server.origin}/notes/17`)).status, 401);

  // The other side of `signedOnly`.
  const [lines, console] = listening();
  await run(block("js", "sealedInfo"), { origin: server.origin, alice, toBob, store: new MemoryStore(), console });
  assert.deepEqual(lines, [`meet me at noon ${alice.signer}`]);
  assert.deepEqual(asked, [["/other", `${alice.signer}`], ["/health", undefined], ["/notes/17", `${alice.signer}`], ["/notes/17", `${alice.signer}`]]);
  const sealed = await globalThis.fetch(await signRequest(new Request(`${server.origin}/notes/17`), alice));
  assert.equal((await open(await sealed.arrayBuffer(), bob, context, { expect: alice.signer })).text(), "meet me at noon");
});

/** A service of this origin, which demands Alice's signature, and a `fetch` of hers. */
async function signedBy(signer, origin) {
  const identity = await Identity.generate({ kem: "X25519" });
  const service = await createService({ origin, keys: await ServiceKeys.generate(), identity, verify: { signers: [signer.signer] } });
  const services = { [origin]: { pins: [identity.recipient.pin] } };
  return { service, fetch: sealedFetch({ services, rules: [{ origin, path: "/{rest..}", exchange: true, sign: true }] }, { identity: signer }) };
}

test("exchanges by hand", async () => {
  const server = await serve();
  const { service, fetch } = await signedBy(alice, server.origin);
  const app = (_request, signer) => new Response(`hello ${signer}`);
  const code = block("js", "openExchange");
  server.answer = (request) => run(code, { request, service, app });
  assert.equal(await (await fetch(`${server.origin}/a`)).text(), `hello ${alice.signer}`);
  assert.equal((await globalThis.fetch(`${server.origin}/a`)).status, 401);
});

test("a Node listener as the app of a Node server", async () => {
  let signed;
  const service = { handle: (...all) => signed.service.handle(...all) };
  const app = (request, response) => response.end(`hello ${request.signer}`);
  const code = block("js", "fromListener").replace("createServer(toListener", "const server = $&").replace("8080", '0, "127.0.0.1"');
  const { server } = await run(code, { service, app }, "server");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${server.address().port}`;
  signed = await signedBy(alice, origin);
  assert.equal(await (await signed.fetch(`${origin}/a`)).text(), `hello ${alice.signer}`);
  server.closeAllConnections();
  server.close();
});

test("keys are kept, and come back from their backup", async () => {
  const kept = await run(block("js", "IndexedDbStore.open({ name"), {}, "alice", "store", "evictable", "recovery");
  assert.equal((await Identity.load(kept.store, "alice")).signer.toString(), kept.alice.signer.toString());
  assert.deepEqual([kept.evictable, kept.recovery], ["unknown", undefined]);
  const { alice, backup } = await run(block("js", "Passphrase.create"), { alice: kept.alice }, "alice", "backup");
  assert.ok(alice !== kept.alice && alice.signer.equals(kept.alice.signer));
  assert.equal((await storageHealth({ store: kept.store, backup })).recovery, true);
});
