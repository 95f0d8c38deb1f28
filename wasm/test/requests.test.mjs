import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import init from "../dist/esm/glue/sealwire.js";
import { Identity, SealwireError, signRequest } from "../dist/esm/node.js";
import { verifyRequest } from "../dist/esm/server.js";

const [alice, bob] = [await Identity.generate(), await Identity.generate()];
const origin = "https://api.example.com";
const refused = (code) => (error) => error instanceof SealwireError && error.code === code;
const put = (url = `${origin}/notes/17?a=%20b&c`) =>
  new Request(url, { method: "PUT", body: Uint8Array.of(1, 2, 3), headers: { "content-type": "application/vnd.sealwire", authorization: "Bearer x", "if-match": '"1"' } });

test("a signed request verifies, and says who signed and what to remember", async () => {
  const signed = await signRequest(put(), alice, { cover: ["if-match"] });
  assert.match(signed.headers.get("content-digest"), /^sha-256=:/);
  for (const keys of [alice.signer, [bob.signer, alice.signer], (id) => (id === alice.signer.keyId ? alice.signer : undefined), async () => alice.signer]) {
    const verified = await verifyRequest(signed.clone(), keys, { origin, require: ["if-match"] });
    assert.ok(verified.signer.equals(alice.signer));
    assert.equal(verified.verifiedBody, "whole");
    assert.deepEqual(verified.body, Uint8Array.of(1, 2, 3));
    assert.equal(verified.nonce.id.length, 32);
    assert.ok(verified.nonce.keepUntil > verified.nonce.created);
  }
  const get = await signRequest(new Request(`${origin}/notes?`), alice);
  assert.equal((await verifyRequest(get, alice.signer, { origin })).verifiedBody, "none");
});

test("what was changed, left unsigned, or is of another time or place is refused", async () => {
  const signed = await signRequest(put(), alice);
  const verify = (request, options = {}, keys = alice.signer) => verifyRequest(request, keys, { origin, ...options });
  const changed = (url, init) => new Request(url, { method: signed.method, headers: signed.headers, body: Uint8Array.of(1, 2, 3), ...init });
  await assert.rejects(verify(put()), refused("Rejected"));
  await assert.rejects(verify(signed.clone(), {}, bob.signer), refused("Rejected"));
  await assert.rejects(verify(signed.clone(), {}, () => undefined), refused("Rejected"));
  await assert.rejects(verify(signed.clone(), { origin: "https://other.example.com" }), refused("Rejected"));
  await assert.rejects(verify(changed(`${origin}/notes/18?a=%20b&c`)), refused("Rejected"));
  await assert.rejects(verify(changed(`${origin}/notes/17?a=+b&c`)), refused("Rejected"));
  await assert.rejects(verify(changed(signed.url, { body: Uint8Array.of(1, 2, 4) })), refused("Rejected"));
  await assert.rejects(verify(changed(signed.url, { method: "POST" })), refused("Rejected"));
  const headers = new Headers(signed.headers);
  headers.set("authorization", "Bearer y");
  await assert.rejects(verify(changed(signed.url, { headers })), refused("Rejected"));
  await assert.rejects(verify(signed.clone(), { require: ["if-match"] }), refused("Rejected"));
  await assert.rejects(verify(signed.clone(), { now: Math.floor(Date.now() / 1000) + 400 }), refused("Expired"));
  await assert.rejects(verify(signed.clone(), { maxBody: 2 }), refused("TooLarge"));
  assert.ok((await verify(signed.clone())).signer.equals(alice.signer));
});

test("a stranger's body is not waited for, and none that is not proved passes", async () => {
  const signed = await signRequest(put(), alice);
  const bodyless = await signRequest(new Request(`${origin}/x`, { method: "PUT" }), alice);
  const withBody = ({ url, method, headers }, body) => new Request(url, { method, headers, body, duplex: "half" });
  const never = () => {
    let cancelled;
    const done = new Promise((resolve) => (cancelled = resolve));
    return [new ReadableStream({ pull: () => new Promise(() => {}), cancel: cancelled }), done];
  };
  for (const [request, keys] of [[put(), alice.signer], [signed, bob.signer], [signed, async () => undefined], [bodyless, bob.signer]]) {
    const [body, cancelled] = never();
    await assert.rejects(verifyRequest(withBody(request, body), keys, { origin }), refused("Rejected"));
    await cancelled;
  }
  const verify = (request) => verifyRequest(request, alice.signer, { origin });
  for (const empty of [() => undefined, () => new Uint8Array(), () => new Blob([]).stream()]) {
    await assert.rejects(verify(withBody(signed, empty())), refused("Rejected"));
    assert.equal((await verify(withBody(bodyless, empty()))).verifiedBody, "none");
  }
  await assert.rejects(verify(withBody(bodyless, "x")), refused("Rejected"));
});

test("a large body is hashed where it is, and the module does without WebCrypto", async (t) => {
  const body = new Uint8Array(32 << 20).fill(7);
  const memory = async () => Object.values(await init()).find((exported) => exported instanceof WebAssembly.Memory).buffer.byteLength;
  const digest = `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
  const signed = () => signRequest(new Request(`${origin}/x`, { method: "PUT", body }), alice);
  const verifies = async (request) => (await verifyRequest(request, alice.signer, { origin, maxBody: body.length })).verifiedBody;
  const before = await memory();
  const hashed = await signed();
  assert.equal(hashed.headers.get("content-digest"), digest);
  assert.ok((await memory()) - before < 1 << 20);
  assert.equal(await verifies(hashed), "whole");
  t.mock.getter(crypto, "subtle", () => undefined);
  const whole = await signed();
  assert.equal(whole.headers.get("content-digest"), digest);
  assert.equal(await verifies(whole), "whole");
});
