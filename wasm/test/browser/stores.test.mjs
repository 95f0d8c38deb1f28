// Key stores and passphrases in Chromium: what only a browser can show.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { byHand, chromium } from "../../chromium.mjs";

const CSP = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'";
const WITHOUT_WORKERS = CSP.replace("worker-src 'self'", "worker-src 'none'");
const dist = new URL("../../dist/", import.meta.url);
const served = {
  "/": ["text/html", "<!doctype html><title>stores</title>"],
  "/no-workers": ["text/html", "<!doctype html><title>stores</title>"],
  "/store-worker.js": ["text/javascript", `
    import { IndexedDbStore } from "/dist/esm/browser.js";
    const store = await IndexedDbStore.open({ name: "from-worker" });
    await store.save("x", new Uint8Array([1, 2, 3]));
    postMessage([...await store.load("x")]);`],
  "/service-worker.js": ["text/javascript", `
    import { Passphrase, SealContext, open, seal } from "/dist/esm/browser.js";
    onmessage = async ({ source }) => {
      const passphrase = await Passphrase.create("x", { memory: 64, passes: 1, lanes: 1 }), context = new SealContext("a");
      source.postMessage((await open(await seal("hello", passphrase, context), passphrase, context)).text());
    };`],
};

let server, origin, folder, running;

before(async () => {
  server = createServer(async ({ url }, response) => {
    const policy = url === "/no-workers" ? WITHOUT_WORKERS : CSP;
    const answer = (status, type, body) =>
      response.writeHead(status, { "content-type": type, "content-security-policy": policy, "cache-control": "no-store" }).end(body);
    if (served[url] !== undefined) return answer(200, ...served[url]);
    const type = url.endsWith(".wasm") ? "application/wasm" : "text/javascript";
    if (!/^\/dist\/[\w./]+$/.test(url) || url.includes("..")) return answer(404, "text/plain", "");
    readFile(new URL(url.slice("/dist/".length), dist)).then((body) => answer(200, type, body), () => answer(404, "text/plain", ""));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://localhost:${server.address().port}`;
  folder = await mkdtemp(join(tmpdir(), "sealwire-stores-"));
  running = await start();
});

after(async () => {
  await stop("SIGTERM");
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
});

/** A Chromium with the profile in `folder`, started by hand so that it can be killed by hand. */
async function start() {
  const child = spawn(...byHand(folder), { stdio: ["ignore", "ignore", "pipe"] });
  const endpoint = await new Promise((resolve, reject) => {
    let said = "";
    child.stderr.on("data", (piece) => {
      const found = /DevTools listening on (ws:\S+)/.exec((said += piece));
      if (found) resolve(found[1]);
    });
    child.once("exit", () => reject(new Error(`Chromium ended: ${said}`)));
  });
  const browser = await chromium.connectOverCDP(endpoint);
  return { child, browser, context: browser.contexts()[0] };
}

async function stop(signal) {
  const { child, browser } = running;
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await exited;
  await browser.close().catch(() => undefined);
}

async function tab(path = "/", from = origin) {
  const page = await running.context.newPage();
  await page.goto(from + path);
  await page.evaluate(prepare);
  return page;
}

/** What the functions that run in the page use. */
const prepare = async () => {
  globalThis.sealwire = await import("/dist/esm/browser.js");
  globalThis.refusal = (promise) => promise.then(() => "nothing", (error) => `${error.code}: ${error.message}`);
  globalThis.text = (bytes) => bytes && new TextDecoder().decode(bytes);
  globalThis.bytes = (text) => new TextEncoder().encode(text);
  globalThis.store = (name) => sealwire.IndexedDbStore.open({ name });
  globalThis.asked = (request) => new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  globalThis.byHand = async (name, work) => {
    const database = await asked(indexedDB.open(name));
    const transaction = database.transaction(["keys", "records"], "readwrite");
    const done = new Promise((resolve) => (transaction.oncomplete = resolve));
    const result = await work(transaction.objectStore("records"), transaction.objectStore("keys"));
    await done;
    database.close();
    return result;
  };
};

/** Whether any file of the profile holds `canary`, as UTF-8, UTF-16 or base64. */
async function isOnDisk(canary) {
  const forms = [Buffer.from(canary), Buffer.from(canary, "utf16le"), Buffer.from(Buffer.from(canary).toString("base64").slice(0, -4))];
  const root = join(folder, "Default", "IndexedDB");
  if (!existsSync(root)) return false;
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const content = await readFile(join(entry.parentPath ?? entry.path, entry.name)).catch(() => Buffer.alloc(0));
    if (forms.some((form) => content.includes(form))) return true;
  }
  return false;
}

test("an identity is there after a reload, and its text nowhere on the disk", async () => {
  const page = await tab();
  const { recipient, secret } = await page.evaluate(async () => {
    const alice = await sealwire.Identity.generate();
    await alice.save(await store("keys"), "alice");
    // The control: what is not sealed is found by the same search.
    await byHand("sealwire.keys", async (records) => void records.put(bytes("canary-in-plain-view"), "control"));
    return { recipient: `${alice.recipient}`, secret: text(alice.reveal()) };
  });
  await page.close();
  const again = await tab();
  assert.equal(await again.evaluate(async () => `${(await sealwire.Identity.load(await store("keys"), "alice")).recipient}`), recipient);
  assert.ok(await isOnDisk("canary-in-plain-view"));
  assert.ok(!(await isOnDisk(secret)));
  for (let at = 0; at + 40 <= secret.length; at += 20) assert.ok(!(await isOnDisk(secret.slice(at, at + 40))), `at ${at}`);
  await again.close();
});

test("the wrapping key cannot be exported, wrapped, or used for another record", async () => {
  const page = await tab();
  const answers = await page.evaluate(async () => {
    const alice = await store("keys-2");
    await alice.save("alice", bytes("secret of alice"));
    await alice.save("bob", bytes("secret of bob"));
    const key = await byHand("sealwire.keys-2", (_, keys) => asked(keys.get("wrapping")));
    const exports = await Promise.all(["raw", "jwk"].map((format) => crypto.subtle.exportKey(format, key).then(() => "exported", (error) => error.name)));
    await byHand("sealwire.keys-2", async (records) => {
      const [a, b] = [await asked(records.get("alice")), await asked(records.get("bob"))];
      records.put(b, "alice");
      records.put(a, "bob");
    });
    return [...exports, await refusal(alice.load("alice")), await refusal(alice.load("bob"))];
  });
  assert.deepEqual(answers.slice(0, 2), ["InvalidAccessError", "InvalidAccessError"]);
  for (const answer of answers.slice(2)) assert.match(answer, /^Rejected: /);
  await page.close();
});

test("two tabs with 1,000 updates each lose none", async () => {
  const tabs = [await tab(), await tab()];
  await Promise.all(tabs.map((page) => page.evaluate(async () => {
    const counter = await store("counter");
    for (let at = 0; at < 1000; at++) await counter.update("n", (old) => bytes(String(Number(text(old) ?? 0) + 1)));
  })));
  assert.equal(await tabs[0].evaluate(async () => text(await (await store("counter")).load("n"))), "2000");
  for (const page of tabs) await page.close();
});

/** Saves 300 KB of one digit after the other, for ever. */
const writeForEver = async () => {
  const large = await store("killed");
  for (let at = 0; ; at++) {
    await large.save("large", new Uint8Array(300_000).fill(48 + (at % 10)));
    globalThis.written = at;
  }
};
const isWhole = async () => {
  const found = await (await store("killed")).load("large");
  return found.length === 300_000 && found.every((byte) => byte === found[0]);
};

test("a tab that crashes or is closed while it writes leaves the old secret or the new one", async () => {
  const witness = await tab();
  for (let round = 0; round < 10; round++) {
    const page = await tab();
    page.evaluate(writeForEver).catch(() => undefined);
    await page.waitForFunction(() => globalThis.written > 1);
    await new Promise((resolve) => setTimeout(resolve, 7 * round));
    const session = await running.context.newCDPSession(page);
    if (round % 2) session.send("Page.crash").catch(() => undefined);
    else await page.close();
    assert.ok(await witness.evaluate(isWhole), `round ${round}`);
    await page.close().catch(() => undefined);
  }
  await witness.close();
});

test("so does a browser that is killed, and what was saved before is there", async () => {
  for (let round = 0; round < 3; round++) {
    const page = await tab();
    await page.evaluate(async (round) => (await store("durable")).save("last", bytes(`round ${round}`)), round);
    page.evaluate(writeForEver).catch(() => undefined);
    await page.waitForFunction(() => globalThis.written > 1);
    await stop("SIGKILL");
    running = await start();
    const witness = await tab();
    assert.ok(await witness.evaluate(isWhole), `round ${round}`);
    assert.equal(await witness.evaluate(async () => text(await (await store("durable")).load("last"))), `round ${round}`);
    await witness.close();
  }
});

test("a database that another tab deletes ends the store, and so does a wrapping key", async () => {
  const [one, other] = [await tab(), await tab()];
  await one.evaluate(async () => {
    globalThis.mine = await store("deleted");
    await mine.save("alice", bytes("secret"));
    globalThis.cleared = await store("cleared");
    await cleared.save("alice", bytes("secret"));
  });
  const deleted = await other.evaluate(() => new Promise((resolve) => {
    const request = indexedDB.deleteDatabase("sealwire.deleted");
    request.onsuccess = () => resolve("deleted");
    request.onblocked = () => resolve("blocked");
  }));
  assert.equal(deleted, "deleted");
  await other.evaluate(() => byHand("sealwire.cleared", async (_, keys) => void keys.clear()));
  const answers = await one.evaluate(async () => [
    await refusal(mine.load("alice")), await refusal(mine.save("alice", bytes("new"))), await refusal(cleared.load("alice")),
    await refusal(cleared.save("alice", bytes("new"))), await refusal(store("cleared")),
    await refusal(sealwire.IndexedDbStore.open({ name: "deleted", existing: true })),
  ]);
  for (const answer of answers) assert.match(answer, /^Store: .*wrapping key is gone/);
  for (const page of [one, other]) await page.close();
});

test("a full quota is Store, and the old secret stays", async () => {
  // An origin of its own: Chromium remembers for a while how much room one had.
  const fresh = origin.replace("localhost", "127.0.0.1");
  const page = await tab("/", fresh);
  const session = await running.context.newCDPSession(page);
  await session.send("Storage.overrideQuotaForOrigin", { origin: fresh, quotaSize: 300_000 });
  await page.evaluate(async () => (await store("quota")).save("alice", bytes("old")));
  const answers = await page.evaluate(async () => {
    const full = await store("quota");
    return [await refusal(full.save("alice", new Uint8Array(1_000_000))), text(await full.load("alice"))];
  });
  await session.send("Storage.overrideQuotaForOrigin", { origin: fresh });
  assert.match(answers[0], /^Store: .*quota/);
  assert.equal(answers[1], "old");
  await page.close();
});

test("a passkey with prf makes and unlocks a store; a prompt without an answer is Store", async () => {
  const page = await tab();
  const session = await running.context.newCDPSession(page);
  await session.send("WebAuthn.enable");
  const authenticator = async (options) => (await session.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2", ctap2Version: "ctap2_1", transport: "internal", hasResidentKey: true, hasUserVerification: true,
      isUserVerified: true, automaticPresenceSimulation: true, ...options,
    },
  })).authenticatorId;
  const create = (name) => page.evaluate((name) => refusal(sealwire.PasskeyStore.create({ name, userName: "alice" })), name);
  const unlock = (name, ms) => page.evaluate(([name, ms]) => refusal(sealwire.PasskeyStore.unlock({ name, signal: ms && AbortSignal.timeout(ms) })), [name, ms]);

  const withoutPrf = await authenticator({ hasPrf: false });
  assert.match(await create("no-prf"), /^Unsupported: /);
  await session.send("WebAuthn.removeVirtualAuthenticator", { authenticatorId: withoutPrf });

  const authenticatorId = await authenticator({ hasPrf: true });
  assert.equal(await page.evaluate(() => sealwire.PasskeyStore.isAvailable()), true);
  assert.match(await unlock("pk"), /^Store: .*is gone/);
  const made = await page.evaluate(async () => {
    const alice = await sealwire.Identity.generate();
    const before = await sealwire.PasskeyStore.exists("pk");
    const store = await sealwire.PasskeyStore.create({ name: "pk", userName: "alice" });
    await alice.save(store, "alice");
    return { before, after: await sealwire.PasskeyStore.exists("pk"), secret: text(alice.reveal()), recipient: `${alice.recipient}` };
  });
  assert.deepEqual([made.before, made.after], [false, true]);
  assert.match(await create("pk"), /^Misuse: /);
  await page.reload(); // Nothing is left in memory.
  await page.evaluate(prepare);
  const loaded = await page.evaluate(async () => {
    const store = await sealwire.PasskeyStore.unlock({ name: "pk" });
    return `${(await sealwire.Identity.load(store, "alice")).recipient}`;
  });
  assert.equal(loaded, made.recipient);
  assert.ok(!(await isOnDisk(made.secret.slice(20, 60))));
  const tables = await page.evaluate(() => byHand("sealwire-passkey.pk", async (_, keys) => {
    const kept = await asked(keys.getAll());
    return kept.map((value) => (value instanceof CryptoKey ? "a key" : Object.keys(value).length > 20 ? "bytes" : Object.keys(value).sort().join()));
  }));
  assert.ok(!tables.includes("a key") && tables.includes("check,credential,input,rpId"), tables.join(" "));

  assert.equal(await unlock("pk"), "nothing");

  // Another input makes another key.
  await page.evaluate(() => byHand("sealwire-passkey.pk", async (_, keys) => {
    const passkey = await asked(keys.get("passkey"));
    keys.put({ ...passkey, input: crypto.getRandomValues(new Uint8Array(32)) }, "passkey");
  }));
  assert.match(await unlock("pk"), /^NotRecipient: /);
  // The wrong finger, which blocks this authenticator; then nobody who touches it; then one that does not have the passkey any more.
  await session.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: false });
  assert.match(await unlock("pk"), /^Store: .*did not answer/);
  await session.send("WebAuthn.setAutomaticPresenceSimulation", { authenticatorId, enabled: false });
  assert.match(await unlock("pk", 300), /^23: /); // TimeoutError, the signal's reason
  await session.send("WebAuthn.setAutomaticPresenceSimulation", { authenticatorId, enabled: true });
  await session.send("WebAuthn.clearCredentials", { authenticatorId });
  assert.match(await unlock("pk"), /^Store: .*did not answer/);
  await page.close();
});

/** Seals and opens with the default costs; what the instance's memory grew by, in MiB. */
const passphraseGrowth = async () => {
  const { default: init } = await import("/dist/esm/glue/sealwire.js");
  const context = new sealwire.SealContext("a");
  await sealwire.seal("warm", (await sealwire.Identity.generate()).recipient, context);
  const memory = Object.values(await init()).find((exported) => exported instanceof WebAssembly.Memory);
  const before = memory.buffer.byteLength;
  const passphrase = await sealwire.Passphrase.create("correct horse");
  const opened = await sealwire.open(await sealwire.seal("hello", passphrase, context), passphrase, context);
  return [opened.text(), (memory.buffer.byteLength - before) / 2 ** 20];
};

test("Argon2 runs in a worker under worker-src 'self', which ends, and the memory of the page's instance does not grow", async () => {
  const page = await tab();
  let workers = 0;
  page.on("worker", () => (workers += 1));
  const [opened, grown] = await page.evaluate(passphraseGrowth);
  assert.equal(opened, "hello");
  assert.ok(grown < 2, `${grown} MiB`);
  assert.equal(workers, 2);
  await page.waitForTimeout(200);
  assert.equal(page.workers().length, 0);
  await page.close();
});

test("where no worker may run, Argon2 runs in the thread itself, in an instance of its own", async () => {
  const page = await tab("/no-workers");
  let workers = 0;
  page.on("worker", () => (workers += 1));
  const [opened, grown] = await page.evaluate(passphraseGrowth);
  assert.equal(opened, "hello");
  assert.ok(grown < 2, `${grown} MiB`);
  assert.equal(workers, 0);
  await page.close();
  const other = await tab();
  const answer = await other.evaluate(async () => {
    const { active, installing, waiting } = await navigator.serviceWorker.register("/service-worker.js", { type: "module" });
    const answer = new Promise((resolve) => (navigator.serviceWorker.onmessage = ({ data }) => resolve(data)));
    (active ?? installing ?? waiting).postMessage("");
    return answer;
  });
  assert.equal(answer, "hello");
  await other.close();
});

test("a worker has the stores too, and the page says how long they last", async () => {
  const page = await tab();
  const [kept, health, asked] = await page.evaluate(async () => {
    const worker = new Worker("/store-worker.js", { type: "module" });
    const kept = await new Promise((resolve, reject) => { worker.onmessage = ({ data }) => resolve(data); worker.onerror = reject; });
    return [kept, await sealwire.storageHealth({ store: await store("keys") }), await sealwire.askForPersistence()];
  });
  assert.deepEqual(kept, [1, 2, 3]);
  assert.equal(health.persistent, false);
  assert.equal(health.evictable, "under-pressure");
  assert.equal(health.recovery, undefined);
  assert.ok(health.quota > health.usage && health.usage > 0);
  assert.equal(typeof asked, "boolean");
  await page.close();
});

test("who waits for a stream's end is told when it is broken off or given up", async () => {
  const page = await tab();
  const told = await page.evaluate(async () => {
    const key = await sealwire.SymmetricKey.generate();
    const context = new sealwire.SealContext("a");
    const told = (promise) => promise.then(() => "nothing", (error) => error.code ?? error.message);
    const broken = sealwire.openStream(key, context);
    const pull = (to) => to.error(new Error("cut"));
    const piping = told(new ReadableStream({ pull }).pipeThrough(broken).pipeTo(new WritableStream()));
    const cancelled = sealwire.openStream(key, context);
    const sealing = sealwire.sealStream(key, context);
    const [writer, sealer] = [cancelled.writable.getWriter(), sealing.writable.getWriter()];
    await Promise.all([cancelled.readable.cancel(), sealing.readable.cancel()]);
    return Promise.all([piping, ...[broken.about, broken.finished, cancelled.about, cancelled.finished, writer.closed, sealer.closed].map(told)]);
  });
  assert.deepEqual(told, ["cut", "cut", "cut", "Truncated", "Truncated", "Truncated", "Truncated"]);
  await page.close();
});
