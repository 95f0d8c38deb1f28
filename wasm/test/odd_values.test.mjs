// What no type allows, and what a stranger's JSON or another script hands in all the same: refused, and no key is lost by it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import {
  Identity, IndexedDbStore, Keyring, MemoryStore, Passphrase, Pin, Recipient, SealContext, SealedBlob, SealwireError, Signer, SymmetricKey, fromText, inspect,
  open, openStream, reseal, rewrap, seal, sealStream, sealedFetch, signRequest, split, toText,
} from "../dist/esm/node.js";
import { MemoryReplayCache, ServiceKeys, createGateway, createService, verifyRequest } from "../dist/esm/server.js";

const context = new SealContext("notes", "17");
const refused = (code) => (error) => {
  assert.ok(error instanceof SealwireError, `${error?.stack}`);
  assert.equal(error.code, code, error.message);
  return true;
};

test("a value of another type is Misuse, and takes no key away", async () => {
  const bob = await Identity.generate({ kem: "X25519" });
  const envelope = await seal("hello", bob.recipient, context);
  const origin = "https://api.example.com";
  const request = () => new Request(`${origin}/x`);
  const fetched = (rule, call) =>
    sealedFetch({ services: { [origin]: { pins: [] } }, rules: [{ origin, path: "/{rest..}", ...rule }] }, { identity: bob })(`${origin}/x`, call);
  const written = async ({ readable, writable }, piece) => {
    const writer = writable.getWriter();
    await Promise.all([readable.getReader().read(), writer.write(piece), writer.closed]);
  };
  const calls = [];
  for (const wrong of [undefined, null, 5, {}, ["sealwire1"]]) {
    for (const parse of [Recipient.parse, Signer.parse, Pin.parse, Identity.parse, Identity.parseFile, fromText, Passphrase.create]) calls.push(() => parse(wrong));
    calls.push(() => open(envelope, bob, wrong), () => seal("x", bob.recipient, wrong), () => signRequest(request(), wrong));
    calls.push(() => verifyRequest(request(), bob.signer, { origin: wrong }), () => SymmetricKey.fromBytes(wrong));
    for (const read of [inspect, toText, split]) calls.push(() => read(wrong));
    calls.push(() => SealedBlob.open({ size: wrong === 5 ? NaN : wrong, read: async () => envelope }, bob, context));
    calls.push(() => written(sealStream(bob.recipient, wrong), envelope));
  }
  for (const size of [-1, 1.5, Infinity, "90"]) calls.push(() => SealedBlob.open({ size, read: async () => envelope }, bob, context));
  for (const fake of [Object.create(Uint8Array.prototype), new Proxy(envelope, {})]) {
    calls.push(() => seal(fake, bob.recipient, context), () => open(fake, bob, context), () => inspect(fake), () => rewrap(fake, bob, context, bob.recipient));
    calls.push(() => written(openStream(bob, context), fake));
  }
  calls.push(() => open(envelope, new Keyring(null), context), () => open(envelope, bob, context, { expect: null }));
  calls.push(() => open(envelope, bob, { namespace: "notes", fields: ["17"] }), () => seal("x", [null], context), () => seal("x", bob.recipient, context, { aead: 5 }));
  calls.push(() => seal("x", bob.recipient, context, { metadata: [5] }), () => seal("x", bob.recipient, context, { sign: null }));
  calls.push(() => Identity.generate({ kem: 5 }), () => Passphrase.create("x", { memory: 2 ** 32 + 64, passes: 1, lanes: 1 }));
  calls.push(() => Passphrase.create("x", { memory: 64 }), () => Passphrase.create("x", { memory: 64, passes: 1, lanes: 1n }));
  calls.push(() => verifyRequest(request(), bob.signer, { origin, maxBody: NaN }));
  calls.push(() => signRequest(request(), bob, { cover: [5] }), () => verifyRequest(request(), bob.signer, { origin, require: [5] }));
  calls.push(() => fetched({ exchange: { tunnel: "/relative" } }), () => fetched({ exchange: { expose: 5 } }), () => fetched({ exchange: true }, { sealwire: { to: 5 } }));
  calls.push(() => fetched({ exchange: true }, { sealwire: { context: {} } }));
  for (const call of calls) {
    await assert.rejects(async () => call(), refused("Misuse"), `${call}`);
    assert.equal(bob.reveal().length, 130, `${call}`);
  }
  assert.equal((await open(envelope, bob, context)).text(), "hello");
});

test("what is sealed is the payload and nothing else of the module's memory, whatever its length says", async () => {
  const key = await SymmetricKey.generate();
  const lies = Object.defineProperty(new Uint8Array([1, 2, 3]), "length", { value: 5000 });
  class Liar extends Uint8Array {
    get length() {
      return 5000;
    }
  }
  for (const liar of [lies, new Liar([1, 2, 3])]) {
    assert.deepEqual([...(await open(await seal(liar, key, context), key, context)).plaintext], [1, 2, 3]);
  }
});

test("a range of what is too large for any memory is Misuse", async () => {
  const key = await SymmetricKey.generate();
  const blob = await SealedBlob.open(new Blob([await seal("x", key, context)]), key, context);
  blob.size = 2 ** 50;
  await assert.rejects(blob.read(0, 2 ** 49), refused("Misuse"));
});

test("memory that was transferred is no empty payload", async () => {
  const bob = await Identity.generate({ kem: "X25519" });
  const payload = new Uint8Array(10);
  structuredClone(payload.buffer, { transfer: [payload.buffer] });
  await assert.rejects(seal(payload, bob.recipient, context), refused("Misuse"));
  await assert.rejects(seal(payload.buffer, bob.recipient, context), refused("Misuse"));
  await assert.rejects(inspect(payload), refused("Misuse"));
  assert.equal(bob.reveal().length, 130);
});

test("a Buffer of Node is copied like any other bytes", async () => {
  const key = await SymmetricKey.generate();
  const id = Buffer.from("id");
  const named = new SealContext("notes", id);
  const envelope = await seal("x", key, named);
  id.fill(0);
  assert.equal((await open(envelope, key, named)).text(), "x");
  assert.equal((await open(envelope, key, new SealContext("notes", new TextEncoder().encode("id")))).text(), "x");

  const store = new MemoryStore();
  const secret = Buffer.from("secret");
  await store.save("a", secret);
  secret.fill(0);
  for (let i = 0; i < 2; i++) {
    const loaded = await store.load("a");
    assert.equal(Buffer.from(loaded).toString(), "secret");
    loaded.fill(0);
  }
});

/** What a careless merge of a stranger's JSON does to every object. */
async function polluted(members, run) {
  Object.assign(Object.prototype, members);
  try {
    return await run();
  } finally {
    for (const member of Object.keys(members)) delete Object.prototype[member];
  }
}

test("what is in Object.prototype is in no option", async () => {
  const [device, thief] = [await Identity.generate({ kem: "X25519" }), await Identity.generate({ kem: "X25519" })];
  const origin = "https://api.example.com";
  const rule = { origin, path: "/{rest..}", exchange: true };
  const serve = async (identity, options = {}) => createService({ origin, keys: await ServiceKeys.generate({ kem: "X25519" }), identity, ...options });
  const calling = (policy, service, seen) =>
    sealedFetch({ rules: [rule], ...policy }, {
      fetch: async (url, init) => {
        seen?.push([url, new Headers(init.headers)]);
        return service.handle(new Request(url, init), async (request) => new Response(await request.text()));
      },
    });
  const pins = { services: { [origin]: { pins: [device.recipient.pin] } } };

  // Somebody else's keys in the place of pins.
  const theirs = await serve(thief);
  const document = new Uint8Array(await (await (await serve(thief, { tunnel: "/ohttp" })).handle(new Request(`${origin}/.well-known/ohttp-gateway`))).arrayBuffer());
  const keys = { ohttpKeys: [...document], expires: Math.floor(Date.now() / 1000) + 3600 };
  for (const members of [keys, { trustOnFirstUse: true }]) {
    await polluted(members, () => assert.rejects(calling(pins, theirs)(`${origin}/x`), refused("Rejected")));
  }
  // What goes outside, and what goes in the clear.
  const own = await serve(device);
  const seen = [];
  await polluted({ expose: ["authorization"], exposeQuery: true }, async () => {
    await calling(pins, own, seen)(`${origin}/x?secret`, { headers: { authorization: "Bearer t0k" } });
  });
  assert.deepEqual([seen.at(-1)[0], seen.at(-1)[1].get("authorization")], [`${origin}/x`, null]);
  await polluted({ inTheClear: true }, () => assert.rejects(calling({ rules: [{ origin, path: "/{rest..}" }] }, own)(`${origin}/x`), refused("Misuse")));
  // What a service lets in.
  await polluted({ plain: ["/{rest..}"], unsigned: ["/{rest..}"], seal: "", request: "" }, async () => {
    const service = await serve(device, { verify: { signers: [device.signer] } });
    const gateway = await createGateway({ origin, verify: { signers: [device.signer] } });
    for (const gate of [service, gateway]) {
      const answer = await gate.handle(new Request(`${origin}/x`), () => assert.fail("let in"));
      assert.equal(answer.status, 401);
    }
  });
  // What is sealed with.
  await polluted({ kem: "X25519" }, async () => assert.equal((await Identity.generate()).recipient.kem, "XWing"));
  const strong = (await Identity.generate()).recipient;
  await polluted({ allowClassical: true }, async () => {
    await assert.rejects(seal("x", [strong, device.recipient], context), refused("Misuse"));
    await assert.rejects(rewrap(await seal("x", device.recipient, context), device, context, [strong, device.recipient]), refused("Misuse"));
  });
  // Who has signed: nobody.
  await polluted({ signer: device.signer.toString(), contentType: "text/html" }, async () => {
    const envelope = await seal("x", device.recipient, context);
    const opened = await open(envelope, device, context);
    const opening = openStream(device, context);
    await new Response(new Blob([envelope]).stream().pipeThrough(opening)).text();
    const told = [opened, await opening.finished];
    const service = await serve(device);
    const api = sealedFetch({ ...pins, rules: [rule] }, {
      fetch: async (url, init) =>
        service.handle(new Request(url, init), (request, signer) => {
          told.push({ signer });
          return new Response("x");
        }),
    });
    await api(`${origin}/x`);
    assert.deepEqual(told.map(({ signer }) => signer), [undefined, undefined, undefined]);
    assert.equal(opened.about.contentType, undefined);
  });
  await polluted({ tagLength: 32 }, async () => {
    const large = new Uint8Array(100_000);
    const envelope = await seal(large, device.recipient, context, { aead: "Aes256Gcm" });
    assert.equal((await open(envelope, device, context)).plaintext.length, large.length);
  });
  await polluted({ allowMissingNonce: true, clockSkew: 1e9 }, async () => {
    const old = await signRequest(new Request(`${origin}/x`), device, { now: 1_700_000_000 });
    await assert.rejects(verifyRequest(old, device.signer, { origin }), refused("Expired"));
  });
});

test("an option that nobody knows is Misuse everywhere, and nothing is left out by a slip of the pen", async () => {
  const bob = await Identity.generate({ kem: "X25519" });
  const origin = "https://api.example.com";
  const envelope = await seal("x", bob.recipient, context);
  const keys = await ServiceKeys.generate({ kem: "X25519" });
  const signed = await signRequest(new Request(`${origin}/x`), bob);
  for (const call of [
    () => open(envelope, bob, context, { expects: bob.signer }),
    () => seal("x", bob.recipient, context, { signed: bob }),
    () => rewrap(envelope, bob, context, bob.recipient, { expects: bob.signer }),
    () => reseal(envelope, bob, context, bob.recipient, { signed: bob }),
    () => sealStream(bob.recipient, context, { signed: bob }),
    () => openStream(bob, context, { expects: bob.signer }),
    () => SealedBlob.open(new Blob([envelope]), bob, context, { expects: bob.signer }),
    () => signRequest(new Request(`${origin}/x`), bob, { covers: ["if-match"] }),
    () => verifyRequest(signed, bob.signer, { origin, requires: ["if-match"] }),
    () => createService({ origin, keys, identity: bob, verifies: { signers: [] } }),
    () => createService({ origin, keys, identity: bob, verify: { signers: [], requires: ["if-match"] } }),
    () => createGateway({ origin, verify: { signers: [] }, maxbody: 1 }),
    () => Identity.generate({ kems: "XWing" }),
    () => IndexedDbStore.open({ name: "keys", exists: true }),
    () => new MemoryReplayCache({ limit: 1 }),
  ]) {
    await assert.rejects(async () => call(), refused("Misuse"), `${call}`);
  }
});

test("who is no recipient is refused when the policy is made, and an unknown option is named", async () => {
  const bob = await Identity.generate({ kem: "X25519" });
  const policy = (reader) => ({ rules: [{ origin: "https://api.example.com", path: "/{id}", seal: { namespace: "notes", id: "id", to: [reader] } }] });
  for (const reader of [bob, await Passphrase.create("correct horse"), Promise.resolve(bob.recipient), String(bob.recipient)]) {
    assert.throws(() => sealedFetch(policy(reader)), refused("Misuse"));
  }
  sealedFetch(policy(bob.recipient));
  await assert.rejects(Identity.generate({ kems: "XWing" }), ({ code, message }) => code === "Misuse" && message.includes("kems"));
});

test("an option that stands behind the object is Misuse, and not left out", async () => {
  const [bob, eve] = [await Identity.generate({ kem: "X25519" }), await Identity.generate({ kem: "X25519" })];
  const origin = "https://api.example.com";
  const envelope = await seal("x", bob.recipient, context, { sign: eve });
  const keys = await ServiceKeys.generate({ kem: "X25519" });
  class Expecting {
    get expect() {
      return bob.signer;
    }
  }
  const hidden = Object.defineProperty({}, "expect", { value: bob.signer });
  for (const options of [new Expecting(), Object.create({ expect: bob.signer }), Object.create(Object.create({ expect: bob.signer })), hidden]) {
    await assert.rejects(open(envelope, bob, context, options), refused("Misuse"));
    assert.throws(() => openStream(bob, context, options), refused("Misuse"));
    await assert.rejects(rewrap(envelope, bob, context, bob.recipient, options), refused("Misuse"));
  }
  const behind = Object.create({ verify: { signers: [bob.signer] } });
  await assert.rejects(createService(Object.assign(behind, { origin, keys, identity: bob })), refused("Misuse"));
  const rule = { origin, path: "/{id}", seal: { namespace: "notes", id: "id", to: [bob.recipient, eve.recipient] } };
  const api = sealedFetch({ rules: [rule] }, { identity: bob, fetch: () => assert.fail("sent") });
  assert.throws(() => sealedFetch(Object.assign(Object.create({ services: {} }), { rules: [rule] })), refused("Misuse"));
  await assert.rejects(api(`${origin}/1`, { method: "PUT", body: "x", sealwire: Object.create({ to: [bob.recipient] }) }), refused("Misuse"));
  // Other things may stand there, and a copy from another realm is plain.
  assert.equal((await open(envelope, bob, context, Object.create({ other: 1 }))).text(), "x");
  assert.equal((await open(envelope, bob, context, runInNewContext("({})"))).text(), "x");
});

test("what a policy or an option says twice, or as text, is Misuse, and does not fall open", async () => {
  const bob = await Identity.generate({ kem: "X25519" });
  const origin = "https://api.example.com";
  const pins = [bob.recipient.pin];
  const keys = { ohttpKeys: new Uint8Array(), expires: 0 };
  for (const service of [{ pins, trustOnFirstUse: true }, { pins, ...keys }, { trustOnFirstUse: true, ...keys }, {}, { pins, trustOnFirstUse: "true" }]) {
    assert.throws(() => sealedFetch({ services: { [origin]: service }, rules: [] }), refused("Misuse"));
  }
  for (const service of [{ pins, trustOnFirstUse: false }, { pins, ohttpKeys: undefined }]) sealedFetch({ services: { [origin]: service }, rules: [] });
  for (const value of ["true", "false", 1, 0, null]) {
    for (const member of ["sign", "streamed", "idempotent", "inTheClear", "exchange"]) {
      if (member === "exchange" && value === null) continue;
      assert.throws(() => sealedFetch({ rules: [{ origin, path: "/x", [member]: value }] }), refused("Misuse"), `${member}: ${value}`);
    }
    const options = { origin, identity: bob, keys: await ServiceKeys.generate({ kem: "X25519" }) };
    await assert.rejects(createService({ ...options, enforceIdempotencyKeys: value }), refused("Misuse"));
    await assert.rejects(createGateway({ origin, verify: { signers: [], allowMissingNonce: value } }), refused("Misuse"));
    await assert.rejects(seal("x", bob.recipient, context, { allowClassical: value }), refused("Misuse"));
    await assert.rejects(IndexedDbStore.open({ name: "keys", existing: value }), refused("Misuse"));
  }
});

test("a policy is what it was when the fetch was made", async () => {
  const rules = [{ origin: "https://api.example.com", path: "/{rest..}", exchange: true }];
  const sent = [];
  const policy = { rules };
  const api = sealedFetch(policy, { fetch: async (url) => (sent.push(url), new Response("x")) });
  rules[0].exchange = undefined;
  rules[0].inTheClear = true;
  policy.rules = [{ ...rules[0] }];
  await assert.rejects(api("https://api.example.com/x"), refused("Misuse"));
  assert.deepEqual(sent, []);

  // Its lists, too, and those of a call.
  const [bob, eve] = [await Identity.generate({ kem: "X25519" }), await Identity.generate({ kem: "X25519" })];
  const origin = "https://api.example.com";
  const [pins, to, senders, mine] = [[bob.recipient.pin], [bob.recipient], [bob.signer], [bob.recipient]];
  const bodies = [];
  const send = async (url, init) => (bodies.push(init.body), new Response(null, { status: 201 }));
  const rule = { origin, path: "/notes/{id}", seal: { namespace: "notes", id: "id", to, senders } };
  const notes = sealedFetch({ services: { [origin]: { pins } }, rules: [rule] }, { identity: bob, fetch: send });
  for (const list of [pins, to, senders]) list[0] = eve.recipient;
  const writing = [notes(`${origin}/notes/17`, { method: "PUT", body: "x" }), notes(`${origin}/notes/17`, { method: "PUT", body: "x", sealwire: { to: mine } })];
  const sealing = seal("x", mine, context);
  mine[0] = eve.recipient;
  await Promise.all(writing);
  for (const envelope of [...bodies, await sealing]) {
    assert.equal((await open(envelope, bob, context)).text(), "x");
    await assert.rejects(open(envelope, eve, context), refused("NotRecipient"));
  }
});

test("an app's own code that fails is no failure of the module, and takes no key away", async () => {
  const bob = await Identity.generate({ kem: "X25519" });
  const envelope = await seal("x", bob.recipient, context);
  const fails = () => {
    throw new Error("the database is gone");
  };
  const iterated = { [Symbol.iterator]: fails };
  const named = { toString: fails };
  const origin = "https://api.example.com";
  for (const call of [
    () => seal("x", bob.recipient, context, { metadata: iterated }),
    () => seal("x", bob.recipient, context, { metadata: Object.defineProperty({}, "a", { get: fails, enumerable: true }) }),
    () => open(envelope, bob, context, { expect: iterated }),
    () => open(envelope, bob, context, { expect: named }),
    () => sealedFetch({ services: { [origin]: { pins: [named] } }, rules: [] }),
  ]) {
    await assert.rejects(async () => call(), (error) => refused("Misuse")(error) && /database/.test(error.cause.message), `${call}`);
    assert.equal(bob.reveal().length, 130);
  }
});

test("the module's memory, which never shrinks, holds no more of an envelope than is looked at", async () => {
  const key = await SymmetricKey.generate();
  const envelope = await seal("x", key, context, { padding: "none" });
  const large = new Uint8Array(100_000_000);
  large.set(envelope);
  const held = () => {
    const { external, arrayBuffers } = process.memoryUsage();
    return external - arrayBuffers;
  };
  const before = held();
  const { length } = await inspect(large);
  assert.equal((await split(large)).header.length, length);
  const rewrapped = await rewrap(large, key, context, [key, await SymmetricKey.generate()]);
  const { length: longer } = await inspect(rewrapped);
  assert.ok(longer > length && Buffer.compare(rewrapped.subarray(longer), large.subarray(length)) === 0);
  const back = await fromText(await toText(large));
  assert.equal(Buffer.compare(back, large), 0);
  // A server that sends more than the range that it was asked for.
  const blob = await SealedBlob.open({ size: envelope.length, read: async (start) => large.subarray(start) }, key, context);
  assert.deepEqual([...(await blob.read(0, 1))], [...Buffer.from("x")]);
  await assert.rejects(reseal(new Uint8Array(512 * 1024 * 1024 + 1), key, context, key), refused("Malformed"));
  assert.ok(held() - before < 30_000_000, `${held() - before}`);
  for (const cut of [length - 1, length, length + 55]) await assert.rejects(rewrap(envelope.subarray(0, cut), key, context, key), refused("Truncated"));
});
