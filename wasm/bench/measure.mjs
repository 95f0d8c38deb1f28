// What is measured, in Node and in a browser alike: ours and the peer in turn, in the same run, medians.

import * as age from "age-encryption";
import * as jose from "jose";
import sodium from "libsodium-wrappers";

const KIB = 1024;
const MIB = 1024 * KIB;
const CHUNK = 16 * KIB;

/** Tables of rows: `{ title, rows: [{ what, unit, ours, peer, ratio, target }] }`, times in ms per operation. */
export async function measure(sealwire, { quick }, say = () => {}) {
  await sodium.ready;
  const tables = [];
  const table = async (title, comparisons) => {
    const rows = [];
    for (const { what, bytes, target, ours, peer } of comparisons) {
      const times = await inTurn(ours, peer, quick ? { rounds: 3, sampleMs: 1 } : { rounds: bytes >= 8 * MIB ? 5 : 21, sampleMs: 20 });
      rows.push({ what, bytes, target, ...times, ratio: times.peer / times.ours });
      say(`${title}: ${what}`);
    }
    tables.push({ title, rows });
  };
  const large = quick ? [MIB] : [MIB, 64 * MIB];
  const people = { X25519: await person(sealwire, "X25519"), XWing: await person(sealwire, "XWing") };

  await table("1 KiB, to one recipient", await smallComparisons(people));
  await table("Large payloads, X25519, with the defaults (AES-256-GCM: Node's own, WebCrypto in Chromium)", (await Promise.all(large.map((bytes) => largeComparisons(people.X25519, bytes)))).flat());
  await table("Large payloads, X25519, with ChaCha20-Poly1305 (Node's own, in the module in Chromium)", (await Promise.all(large.map((bytes) => chachaComparisons(people.X25519, bytes)))).flat());
  await table("Signed, beside unsigned", (await Promise.all(large.map((bytes) => signedComparisons(people.X25519, bytes)))).flat());
  return tables;
}

/** Median time of one operation of either, the samples taken in turn. */
async function inTurn(ours, peer, { rounds, sampleMs }) {
  const repeats = async (operation) => {
    await operation();
    const start = performance.now();
    await operation();
    return Math.max(1, Math.ceil(sampleMs / Math.max(performance.now() - start, 0.01)));
  };
  const sides = [
    { operation: ours, count: await repeats(ours), times: [] },
    { operation: peer, count: await repeats(peer), times: [] },
  ];
  for (let round = 0; round < rounds; round++) {
    for (const { operation, count, times } of sides) {
      const start = performance.now();
      for (let i = 0; i < count; i++) await operation();
      times.push((performance.now() - start) / count);
    }
  }
  const [oursTime, peerTime] = sides.map(({ times }) => times.sort((a, b) => a - b)[times.length >> 1]);
  return { ours: oursTime, peer: peerTime };
}

/** One of ours with an identity. */
async function person({ Identity, SealContext, open, seal }, kem) {
  const identity = await Identity.generate({ kem });
  const context = new SealContext("bench", "1");
  return {
    seal: (payload, options) => seal(payload, [identity.recipient], context, options),
    open: (envelope, options) => open(envelope, identity, context, options),
    identity,
  };
}

async function smallComparisons(people) {
  const payload = filled(KIB);
  const ours = async (kem) => ({ ...people[kem], envelope: await people[kem].seal(payload) });
  const [classical, hybrid] = [await ours("X25519"), await ours("XWing")];
  const ageClassical = await typage(await age.generateX25519Identity(), payload);
  const ageHybrid = await typage(await age.generateHybridIdentity(), payload);
  const jwe = await joseOf(payload);
  const pair = (name, { seal, open, envelope }, peer) => [
    { what: `seal, ${name}`, bytes: KIB, target: 3, ours: () => seal(payload), peer: peer.seal },
    { what: `open, ${name}`, bytes: KIB, target: 3, ours: () => open(envelope), peer: peer.open },
  ];
  return [
    ...pair("X25519, beside typage", classical, ageClassical),
    ...pair("X-Wing, beside typage with its post-quantum hybrid", hybrid, ageHybrid),
    ...pair("X25519, beside jose (ECDH-ES X25519, A256GCM)", classical, jwe),
  ];
}

async function largeComparisons({ seal, open }, bytes) {
  const payload = filled(bytes);
  const envelope = await seal(payload);
  const peer = await typage(await age.generateX25519Identity(), payload);
  const web = await webCrypto(payload);
  const size = `${bytes / MIB} MiB`;
  const [ours, ourOpen] = [() => seal(payload), () => open(envelope)];
  return [
    { what: `seal ${size}, beside typage`, bytes, target: 4, ours, peer: peer.seal },
    { what: `open ${size}, beside typage`, bytes, target: 4, ours: ourOpen, peer: peer.open },
    { what: `seal ${size}, beside WebCrypto over 16 KiB chunks, 8 in flight`, bytes, target: 0.85, ours, peer: web.seal },
    { what: `open ${size}, beside WebCrypto over 16 KiB chunks, 8 in flight`, bytes, target: 0.85, ours: ourOpen, peer: web.open },
    { what: `seal ${size}, beside the same WebCrypto chunks put into one buffer`, bytes, ours, peer: web.sealInto },
    { what: `open ${size}, beside the same WebCrypto chunks put into one buffer`, bytes, ours: ourOpen, peer: web.openInto },
    { what: `seal ${size}, beside one WebCrypto call over all of it`, bytes, ours, peer: web.sealWhole },
    { what: `open ${size}, beside one WebCrypto call over all of it`, bytes, ours: ourOpen, peer: web.openWhole },
  ];
}

async function chachaComparisons({ seal, open }, bytes) {
  const payload = filled(bytes);
  const options = { aead: "ChaCha20Poly1305" };
  const envelope = await seal(payload, options);
  const peer = libsodium(payload);
  const size = `${bytes / MIB} MiB`;
  return [
    { what: `seal ${size}, beside libsodium-wrappers over 16 KiB chunks`, bytes, target: 1, ours: () => seal(payload, options), peer: peer.seal },
    { what: `open ${size}, beside libsodium-wrappers over 16 KiB chunks`, bytes, target: 1, ours: () => open(envelope), peer: peer.open },
  ];
}

async function signedComparisons({ seal, open, identity }, bytes) {
  const payload = filled(bytes);
  const [signed, unsigned] = [await seal(payload, { sign: identity }), await seal(payload)];
  const size = `${bytes / MIB} MiB`;
  return [
    { what: `seal and sign ${size}`, bytes, ours: () => seal(payload, { sign: identity }), peer: () => seal(payload) },
    { what: `open ${size}, signed`, bytes, ours: () => open(signed), peer: () => open(unsigned) },
  ];
}

async function typage(identity, payload) {
  const encrypter = new age.Encrypter();
  encrypter.addRecipient(await age.identityToRecipient(identity));
  const decrypter = new age.Decrypter();
  decrypter.addIdentity(identity);
  const sealed = await encrypter.encrypt(payload);
  return { seal: () => encrypter.encrypt(payload), open: () => decrypter.decrypt(sealed) };
}

async function joseOf(payload) {
  const { publicKey, privateKey } = await jose.generateKeyPair("ECDH-ES", { crv: "X25519" });
  const seal = () => new jose.CompactEncrypt(payload).setProtectedHeader({ alg: "ECDH-ES", enc: "A256GCM" }).encrypt(publicKey);
  const sealed = await seal();
  return { seal, open: () => jose.compactDecrypt(sealed, privateKey) };
}

/** AES-256-GCM, nothing else: no key agreement, no output put together. */
async function webCrypto(payload) {
  const key = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
  const algorithm = (i) => {
    const iv = new Uint8Array(12);
    new DataView(iv.buffer).setUint32(8, i);
    return { name: "AES-GCM", iv };
  };
  const count = Math.ceil(payload.length / CHUNK);
  const seal = (i) => crypto.subtle.encrypt(algorithm(i), key, payload.subarray(i * CHUNK, (i + 1) * CHUNK));
  const sealed = await Promise.all(Array.from({ length: count }, (_, i) => seal(i)));
  const open = (i) => crypto.subtle.decrypt(algorithm(i), key, sealed[i]);
  const whole = await crypto.subtle.encrypt(algorithm(0), key, payload);
  const inFlight = async (work) => {
    let next = 0;
    const lane = async () => {
      while (next < count) await work(next++);
    };
    await Promise.all(Array.from({ length: 8 }, lane));
  };
  /** With what has to be done with the results: a buffer of their length, and one copy. */
  const into = (work, size) => () => {
    const out = new Uint8Array(count * size);
    return inFlight((i) => work(i).then((result) => out.set(new Uint8Array(result), i * size)));
  };
  return {
    seal: () => inFlight(seal),
    open: () => inFlight(open),
    sealInto: into(seal, CHUNK + 16),
    openInto: into(open, CHUNK),
    sealWhole: () => crypto.subtle.encrypt(algorithm(0), key, payload),
    openWhole: () => crypto.subtle.decrypt(algorithm(0), key, whole),
  };
}

/** ChaCha20-Poly1305, nothing else. */
function libsodium(payload) {
  const key = sodium.randombytes_buf(32);
  const nonce = sodium.randombytes_buf(12);
  const seal = (chunk) => sodium.crypto_aead_chacha20poly1305_ietf_encrypt(chunk, null, null, nonce, key);
  const open = (chunk) => sodium.crypto_aead_chacha20poly1305_ietf_decrypt(null, chunk, null, nonce, key);
  const chunks = Array.from({ length: Math.ceil(payload.length / CHUNK) }, (_, i) => payload.subarray(i * CHUNK, (i + 1) * CHUNK));
  const sealed = chunks.map(seal);
  return { seal: () => chunks.forEach(seal), open: () => sealed.forEach(open) };
}

function filled(length) {
  return Uint8Array.from({ length }, (_, i) => (i * 31) % 251);
}
