// The stores in Node: the logic over another implementation of IndexedDB. What only a browser can show is in browser/stores.test.mjs.

import "fake-indexeddb/auto";
import assert from "node:assert/strict";
import { test } from "node:test";
import { Identity, IndexedDbStore, MemoryStore, PasskeyStore, SealContext, SealwireError, askForPersistence, open, seal, storageHealth, Passphrase, SymmetricKey } from "../dist/esm/node.js";

const refused = (code, text = /./) => (error) => error instanceof SealwireError && error.code === code && text.test(error.message);
const bytes = (text) => new TextEncoder().encode(text);
const text = (bytes) => bytes && new TextDecoder().decode(bytes);

/** Does something to the tables of a store as any script on the page could. */
async function byHand(name, mode, work) {
  const database = await new Promise((resolve, reject) => {
    const request = indexedDB.open(`sealwire.${name}`);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const transaction = database.transaction(["keys", "records"], mode);
  const done = new Promise((resolve) => (transaction.oncomplete = resolve));
  const ask = (request) => new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
  const result = await work(transaction.objectStore("records"), transaction.objectStore("keys"), ask);
  await done;
  database.close();
  return result;
}

let count = 0;
const kinds = {
  MemoryStore: async () => new MemoryStore(),
  IndexedDbStore: () => IndexedDbStore.open({ name: `kind-${count++}` }),
};
for (const [kind, make] of Object.entries(kinds)) {
  test(`${kind}: keeps, replaces, removes and lists`, async () => {
    const store = await make();
    assert.equal(await store.load("alice"), undefined);
    const mine = bytes("secret 1");
    await store.save("alice", mine);
    mine.fill(0);
    const copy = await store.load("alice");
    assert.equal(text(copy), "secret 1");
    copy.fill(0);
    assert.equal(text(await store.load("alice")), "secret 1");
    await store.save("alice", bytes("secret 2"));
    await store.save("a.b_c-0", new Uint8Array());
    assert.equal(text(await store.load("alice")), "secret 2");
    assert.deepEqual(await store.names(), ["a.b_c-0", "alice"]);
    assert.equal((await store.load("a.b_c-0")).length, 0);
    await store.remove("alice");
    await store.remove("alice");
    assert.deepEqual(await store.names(), ["a.b_c-0"]);
  });

  test(`${kind}: names and sizes have the limits of Rust`, async () => {
    const store = await make();
    for (const name of ["", ".x", "A", "a/b", "a b", "ä", "x".repeat(65), "a\n", 7, undefined]) {
      for (const call of [() => store.load(name), () => store.save(name, bytes("x")), () => store.remove(name), () => store.update(name, () => undefined)]) {
        await assert.rejects(call(), refused("Misuse"), String(name));
      }
    }
    await store.save("x".repeat(64), bytes("x"));
    await store.save("large", new Uint8Array(1024 * 1024 - 29));
    await assert.rejects(store.save("large", new Uint8Array(1024 * 1024 + 1)), refused("TooLarge"));
    assert.equal((await store.load("large")).length, 1024 * 1024 - 29);
    await assert.rejects(store.save("x", "text"), refused("Misuse"));
  });

  test(`${kind}: updates lose nothing, and what throws changes nothing`, async () => {
    const store = await make();
    const plusOne = (old) => new Uint8Array(new Uint32Array([1 + (old ? new Uint32Array(old.slice().buffer)[0] : 0)]).buffer);
    await Promise.all(Array.from({ length: 100 }, () => store.update("n", plusOne)));
    assert.equal(new Uint32Array((await store.load("n")).buffer)[0], 100);
    await assert.rejects(store.update("n", () => { throw new RangeError("mine"); }), RangeError);
    assert.equal(new Uint32Array((await store.load("n")).buffer)[0], 100);
    await store.update("n", () => undefined);
    assert.deepEqual(await store.names(), []);
  });

  test(`${kind}: an identity comes back as itself, and only as one`, async () => {
    const store = await make();
    const context = new SealContext("notes", "1");
    const alice = await Identity.generate();
    assert.equal(await Identity.load(store, "alice"), undefined);
    await alice.save(store, "alice");
    const again = await Identity.load(store, "alice");
    assert.ok(again.recipient.equals(alice.recipient));
    assert.equal((await open(await seal("x", alice.recipient, context), again, context)).text(), "x");
    await store.save("other", bytes("no identity"));
    await assert.rejects(Identity.load(store, "other"), refused("InvalidKey"));
    await store.save("binary", new Uint8Array([255, 254]));
    await assert.rejects(Identity.load(store, "binary"), refused("InvalidKey"));
  });
}

test("what Identity.save and load handed over is wiped", async () => {
  const seen = [];
  class Spy extends MemoryStore {
    async save(name, secret) { await super.save(name, secret); seen.push(secret); }
    async load(name) { const secret = await super.load(name); seen.push(secret); return secret; }
  }
  const store = new Spy();
  await (await Identity.generate()).save(store, "alice");
  await Identity.load(store, "alice");
  assert.equal(seen.length, 2);
  for (const secret of seen) assert.ok(secret.length === 130 && secret.every((byte) => byte === 0));
});

test("two handles of one database lose no update", async () => {
  const [one, two] = [await IndexedDbStore.open({ name: "shared" }), await IndexedDbStore.open({ name: "shared" })];
  const plusOne = (old) => bytes(String(Number(text(old) ?? 0) + 1));
  await Promise.all(Array.from({ length: 200 }, (_, at) => (at % 2 ? one : two).update("n", plusOne)));
  assert.equal(text(await one.load("n")), "200");
});

test("handles that open a new database at once have one key", async () => {
  const stores = await Promise.all(Array.from({ length: 8 }, () => IndexedDbStore.open({ name: "race" })));
  await Promise.all(stores.map((store, at) => store.save(`s${at}`, bytes(`secret ${at}`))));
  for (const store of stores) for (let at = 0; at < 8; at++) assert.equal(text(await store.load(`s${at}`)), `secret ${at}`);
});

test("a record is AES-256-GCM as SPEC §13 says, read here by hand", async () => {
  const store = await IndexedDbStore.open({ name: "spec" });
  await store.save("alice", bytes("secret"));
  const [record, key] = await byHand("spec", "readonly", async (records, keys, ask) => [await ask(records.get("alice")), await ask(keys.get("wrapping"))]);
  assert.equal(record[0], 1);
  assert.equal(record.length, 1 + 12 + 6 + 16);
  const additionalData = bytes("sealwire/v1 stored secret\0spec\0alice");
  const opened = await crypto.subtle.decrypt({ name: "AES-GCM", iv: record.slice(1, 13), additionalData }, key, record.slice(13));
  assert.equal(text(opened), "secret");
  await assert.rejects(crypto.subtle.exportKey("raw", key), /extractable/);
});

test("records that were altered, swapped or put there are refused", async () => {
  const store = await IndexedDbStore.open({ name: "tampered" });
  await store.save("alice", bytes("secret of alice"));
  await store.save("bob", bytes("secret of bob"));
  const [alice, bob] = await byHand("tampered", "readwrite", async (records, _, ask) => {
    const [alice, bob] = [await ask(records.get("alice")), await ask(records.get("bob"))];
    records.put(bob, "alice");
    records.put(alice, "bob");
    return [alice, bob];
  });
  await assert.rejects(store.load("alice"), refused("Rejected"));
  await assert.rejects(store.update("bob", (old) => old), refused("Rejected"));
  const put = (record) => byHand("tampered", "readwrite", async (records) => void records.put(record, "alice"));
  for (let at = 0; at < alice.length; at++) {
    const flipped = alice.slice();
    flipped[at] ^= 1;
    await put(flipped);
    await assert.rejects(store.load("alice"), refused(at === 0 ? "Unsupported" : "Rejected"), `byte ${at}`);
    await put(alice.slice(0, at));
    await assert.rejects(store.load("alice"), refused(at < 29 ? "Malformed" : "Rejected"), `cut to ${at}`);
  }
  for (const junk of ["text", 7, {}, null, new Uint8Array()]) {
    await put(junk);
    await assert.rejects(store.load("alice"), refused("Malformed"));
  }
  await put(alice);
  assert.equal(text(await store.load("alice")), "secret of alice");
  // Another store's record, under the same name.
  const other = await IndexedDbStore.open({ name: "tampered-2" });
  await other.save("alice", bytes("x"));
  await byHand("tampered-2", "readwrite", async (records) => void records.put(bob, "alice"));
  await assert.rejects(other.load("alice"), refused("Rejected"));
});

test("a wrapping key that is gone is said, and no other takes its place", async () => {
  const store = await IndexedDbStore.open({ name: "gone" });
  await store.save("alice", bytes("secret"));
  await byHand("gone", "readwrite", async (_, keys) => void keys.clear());
  for (const call of ["load", "save", "remove", "names", "update"]) {
    await assert.rejects(store[call]("alice", call === "save" ? bytes("new") : (old) => old), refused("Store", /wrapping key is gone/));
  }
  await assert.rejects(IndexedDbStore.open({ name: "gone" }), refused("Store", /wrapping key is gone/));
  // Nor one that can be exported, which a script put there.
  const key = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, true, ["encrypt", "decrypt"]);
  await byHand("gone", "readwrite", async (_, keys) => { keys.put(key, "wrapping"); keys.put(new Uint8Array(16), "id"); });
  await assert.rejects(IndexedDbStore.open({ name: "gone" }), refused("Store", /wrapping key is gone/));
});

test("a deleted database ends what is open, and only `existing` can tell it from a first visit", async () => {
  const store = await IndexedDbStore.open({ name: "deleted" });
  await store.save("alice", bytes("secret"));
  await new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase("sealwire.deleted");
    request.onsuccess = resolve;
    request.onblocked = reject;
  });
  await assert.rejects(store.load("alice"), refused("Store", /wrapping key is gone/));
  await assert.rejects(store.save("alice", bytes("x")), refused("Store", /wrapping key is gone/));
  await assert.rejects(IndexedDbStore.open({ name: "deleted", existing: true }), refused("Store", /wrapping key is gone/));
  assert.deepEqual(await (await IndexedDbStore.open({ name: "deleted" })).names(), []);
});

test("a newer schema ends the old handles, and is Unsupported to them", async () => {
  const store = await IndexedDbStore.open({ name: "newer" });
  const newer = await new Promise((resolve) => {
    const request = indexedDB.open("sealwire.newer", 2);
    request.onsuccess = () => resolve(request.result);
  });
  await assert.rejects(store.names(), refused("Store", /newer version/));
  await assert.rejects(IndexedDbStore.open({ name: "newer" }), refused("Unsupported"));
  newer.close();
});

test("a closed store, and no storage at all, are Store", async () => {
  const store = await IndexedDbStore.open({ name: "closed" });
  store.close();
  await assert.rejects(store.load("alice"), refused("Store", /closed/));
  const kept = globalThis.indexedDB;
  try {
    delete globalThis.indexedDB;
    Object.defineProperty(globalThis, "indexedDB", { value: undefined, configurable: true, writable: true });
    await assert.rejects(IndexedDbStore.open({ name: "none" }), refused("Store"));
    assert.equal(await PasskeyStore.isAvailable(), false);
  } finally {
    globalThis.indexedDB = kept;
  }
});

test("health says what is known here, and what a backup's header names", async () => {
  const [alice, key] = [await Identity.generate({ kem: "X25519" }), await SymmetricKey.generate()];
  const context = new SealContext("backup");
  const health = async (readers) => (await storageHealth({ store: new MemoryStore(), backup: await seal("x", readers, context) })).recovery;
  assert.deepEqual(await storageHealth({ store: new MemoryStore() }), { persistent: false, canPersist: false, evictable: "with-page", recovery: undefined });
  assert.equal(await health([alice.recipient]), false);
  assert.equal(await health([alice.recipient, key]), true);
  assert.equal(await health([await Passphrase.create("x", { memory: 64, passes: 1, lanes: 1 })]), true);
  await assert.rejects(storageHealth({ store: new MemoryStore(), backup: bytes("junk") }), SealwireError);
  assert.equal(await askForPersistence(), false);
});

test("health knows what each browser does by itself", async () => {
  const agents = {
    safari: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
    chromeOnIos: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/131.0 Mobile/15E148 Safari/604.1",
    chrome: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    firefox: "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
  };
  const store = await IndexedDbStore.open({ name: "health" });
  const kept = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  const health = async (userAgent, persisted, more = {}) => {
    const storage = { persisted: async () => persisted, estimate: async () => ({ quota: 10, usage: 1 }), persist: async () => true };
    Object.defineProperty(globalThis, "navigator", { value: { userAgent, storage, ...more }, configurable: true });
    return storageHealth({ store });
  };
  try {
    for (const [agent, persisted, evictable, more] of [
      ["safari", false, "after-7-days"], ["safari", true, "after-7-days"], ["chromeOnIos", false, "after-7-days"],
      ["safari", true, "no", { standalone: true }], ["safari", false, "under-pressure", { standalone: true }],
      ["chrome", false, "under-pressure"], ["chrome", true, "no"], ["firefox", false, "under-pressure"], ["firefox", true, "no"],
    ]) {
      const found = await health(agents[agent], persisted, more);
      assert.deepEqual(found, { persistent: persisted, canPersist: true, evictable, quota: 10, usage: 1, recovery: undefined }, agent);
    }
    const denied = await health(agents.firefox, false, { permissions: { query: async () => ({ state: "denied" }) } });
    assert.equal(denied.canPersist, false);
    Object.defineProperty(globalThis, "navigator", { value: { userAgent: "" }, configurable: true });
    assert.equal((await storageHealth({ store })).evictable, "unknown");
  } finally {
    if (kept) Object.defineProperty(globalThis, "navigator", kept);
    else delete globalThis.navigator;
  }
});

test("what is saved, removed and updated without waiting happens in its order", async () => {
  const store = await IndexedDbStore.open({ name: "in-order" });
  const [large, small] = [new Uint8Array(1_000_000), new Uint8Array([1])];
  for (let n = 0; n < 20; n++) {
    await Promise.all([store.save("a", large), store.save("a", small)]);
    assert.deepEqual(await store.load("a"), small);
    await Promise.all([store.save("a", large), store.remove("a")]);
    assert.equal(await store.load("a"), undefined);
    await Promise.all([store.save("a", large), store.update("a", (old) => old.subarray(1))]);
    assert.equal((await store.load("a")).length, large.length - 1);
  }
  // What is not kept holds nothing up.
  await Promise.all([assert.rejects(store.save("a", new Uint8Array(2_000_000)), { code: "TooLarge" }), store.save("a", small)]);
  assert.deepEqual(await store.load("a"), small);
  store.close();
});
