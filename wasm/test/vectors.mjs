// What a case of tests/vectors/envelope/ is, and how it is judged: the same outcomes as in tests/tests/conformance.rs. Reads no files, so that
// it runs in a browser too: `judge(sealwire, case)` gives what the case came to, to be compared with `case.expect`.

const CHUNK = 16 * 1024;

/** The code of the outcome; an `ok` that gives something else than the case says is another text. */
export async function judge(sealwire, vector) {
  const { Identity, Pin, Recipient, SealwireError } = sealwire;
  const sameFingerprint = (recipient) => hex(recipient.fingerprint.bytes) === vector.fingerprint;
  const operations = {
    open: () => opens(sealwire, vector),
    recipient: async () => sameFingerprint(await Recipient.parse(vector.text)),
    pin: async () => (await Pin.parse(vector.text)).toString() === vector.text,
    identity: async () => sameFingerprint((await Identity.parse(vector.text)).recipient),
    text: async () => hex(await sealwire.fromText(vector.text)) === vector.bytes,
  };
  try {
    return (await operations[vector.operation]()) ? "ok" : "ok, but different";
  } catch (error) {
    if (error instanceof SealwireError) return error.code;
    throw error;
  }
}

async function opens(sealwire, vector) {
  const { Signer, SealContext, open } = sealwire;
  const envelope = await sealwire.fromText(vector.envelope);
  const keys = await keysOf(sealwire, vector.unlock);
  const [namespace = "", ...fields] = vector.context;
  const context = new SealContext(namespace, ...fields.map(fieldOf));
  const signers = vector.signers && (await Promise.all(vector.signers.map((signer) => Signer.parse(signer))));
  const options = { part: vector.part, ...(signers ? { expect: signers } : {}) };

  const streamed = await byStream(sealwire, envelope, keys, context, options);
  const byRange = await byBlob(sealwire, envelope, keys, context, options);
  let opened;
  try {
    opened = await open(envelope, keys, context, options);
  } catch (error) {
    // The stream says the same, and what came out of it before were whole chunks, which were authenticated.
    if (streamed.error?.code !== error.code || streamed.plaintext.length % CHUNK !== 0) {
      throw new Error(`one-shot: ${error}, streamed: ${streamed.error} after ${streamed.plaintext.length} bytes`);
    }
    throw error;
  }
  if (streamed.error) throw streamed.error;
  const whole = hex(opened.plaintext);
  if (hex(streamed.plaintext) !== whole || hex(byRange) !== whole) throw new Error("three readers, two payloads");
  if (String(streamed.finished.signer) !== String(opened.signer)) throw new Error("two readers, two signers");
  return matches(opened, vector);
}

async function byStream({ openStream }, envelope, keys, context, options) {
  const opening = openStream(keys, context, options);
  const sealed = new ReadableStream({
    start(controller) {
      // In two pieces, the first within the header.
      if (envelope.length > 7) controller.enqueue(envelope.subarray(0, 7));
      controller.enqueue(envelope.subarray(envelope.length > 7 ? 7 : 0));
      controller.close();
    },
  });
  const pieces = [];
  try {
    const reader = sealed.pipeThrough(opening).getReader();
    for (let read = await reader.read(); !read.done; read = await reader.read()) pieces.push(read.value);
    return { plaintext: joined(pieces), finished: await opening.finished };
  } catch (error) {
    return { plaintext: joined(pieces), error };
  }
}

/** Two halves by random access; nothing if it refuses, which the caller holds against the others only when they open. */
async function byBlob({ SealedBlob, SealwireError }, envelope, keys, context, options) {
  try {
    const blob = await SealedBlob.open(new Blob([envelope]), keys, context, options);
    const middle = Math.floor(blob.size / 2);
    return joined([await blob.read(0, middle), await blob.read(middle, blob.size)]);
  } catch (error) {
    if (error instanceof SealwireError) return new Uint8Array();
    throw error;
  }
}

async function keysOf(sealwire, named) {
  const { Identity, Keyring, Passphrase, SymmetricKey } = sealwire;
  const one = async (key) => {
    if (key.identity !== undefined) return Identity.parse(key.identity);
    if (key.passphrase !== undefined) return Passphrase.create(key.passphrase);
    return SymmetricKey.fromBytes(unhex(key.key));
  };
  if (named.identities) return new Keyring(...(await Promise.all(named.identities.map((text) => Identity.parse(text)))));
  if (named.keyring) return new Keyring(...(await Promise.all(named.keyring.map(one))));
  return one(named);
}

function matches({ plaintext, signer, about }, vector) {
  const metadata = Object.fromEntries(
    [...about.metadata].map(([key, value]) => [key, value instanceof Uint8Array ? { hex: hex(value) } : value]),
  );
  return (
    (typeof vector.plaintext === "string" ? hex(plaintext) === vector.plaintext : plaintext.length === vector.plaintext_len) &&
    (signer?.toString() ?? null) === (vector.signer ?? null) &&
    about.addressedToMe === vector.addressed_to_me &&
    same(metadata, vector.metadata) &&
    same(about.created ?? null, vector.created ?? null) &&
    (about.contentType ?? null) === (vector.content_type ?? null) &&
    (about.filename ?? null) === (vector.filename ?? null)
  );
}

/** JSON that was read by `parse` has a `bigint` where a `number` would not be exact. */
function same(a, b) {
  const text = (value) =>
    JSON.stringify(value, (_, inner) =>
      typeof inner === "bigint" ? `${inner}n`
      : inner !== null && typeof inner === "object" && !Array.isArray(inner) ? Object.fromEntries(Object.entries(inner).sort())
      : inner);
  return text(a) === text(b);
}

/** `JSON.parse` with integers from 2^53 as `bigint`. */
export function parse(text) {
  const marked = text.replace(/([:[,]\s*)(\d{16,})(?=\s*[,\]}])/g, '$1{"bigint":"$2"}');
  return JSON.parse(marked, (_, value) => {
    if (value === null || typeof value !== "object" || typeof value.bigint !== "string") return value;
    const exact = BigInt(value.bigint);
    return exact <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(exact) : exact;
  });
}

const fieldOf = (field) => (field !== null && typeof field === "object" ? unhex(field.hex) : field);
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const joined = (pieces) => {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
};
