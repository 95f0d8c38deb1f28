// TypeScript's share of tests/matrix/: writes its cases into the folder at the path given.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import * as sealwire from "../dist/esm/node.js";
import { parse } from "./vectors.mjs";

const { Identity, Passphrase, SealContext, SymmetricKey, seal, sealStream, toText } = sealwire;
async function sealed(one) {
  const { reader, unlock } = await readerOf(one.to);
  const [namespace, ...fields] = one.context;
  const context = new SealContext(namespace, ...fields.map(valueOf));
  const signer = one.sign ? await Identity.generate({ kem: "X25519" }) : undefined;
  const metadata = Object.fromEntries(Object.entries(one.metadata ?? {}).map(([key, value]) => [key, valueOf(value)]));
  const options = {
    metadata,
    ...(signer && { sign: signer }),
    ...(one.padded === false && !one.streamed && { padding: "none" }),
    ...(one.aead && { aead: one.aead }),
    ...(one.part && { part: one.part }),
    ...(one.created && { created: one.created }),
    ...(one.content_type && { contentType: one.content_type }),
    ...(one.filename && { filename: one.filename }),
  };
  const payload = Uint8Array.from({ length: one.length }, (_, i) => (i * 7) % 251);
  const envelope = one.streamed ? await streamed(payload, reader, context, options) : await seal(payload, reader, context, options);
  return {
    about: `Sealed in TypeScript: ${one.name}.`,
    spec: "matrix",
    operation: "open",
    expect: "ok",
    envelope: await toText(envelope),
    unlock,
    context: one.context,
    part: one.part ?? "",
    signers: signer ? [signer.signer.toString()] : null,
    plaintext: hex(payload),
    signer: signer ? signer.signer.toString() : null,
    metadata: one.metadata ?? {},
    created: one.created ?? null,
    content_type: one.content_type ?? null,
    filename: one.filename ?? null,
    // Only what is signed says to whom.
    addressed_to_me: signer ? "yes" : "unstated",
  };
}

async function readerOf(to) {
  const text = "correct horse battery staple";
  if (to === "passphrase") {
    return { reader: [await Passphrase.create(text, { memory: 8192, passes: 1, lanes: 1 })], unlock: { passphrase: text } };
  }
  if (to === "key") {
    const key = await SymmetricKey.generate();
    return { reader: [key], unlock: { key: hex(key.reveal()) } };
  }
  const identity = await Identity.generate({ kem: to === "X25519" ? "X25519" : "XWing" });
  const reader = to === "anonymous" ? { anonymous: identity.recipient } : identity.recipient;
  return { reader: [reader], unlock: { identity: new TextDecoder().decode(identity.reveal()) } };
}

async function streamed(payload, reader, context, options) {
  const pieces = [];
  for (let at = 0; at < payload.length; at += 10_000) pieces.push(payload.subarray(at, at + 10_000));
  const sealing = ReadableStream.from(pieces).pipeThrough(sealStream(reader, context, options));
  return new Uint8Array(await new Response(sealing).arrayBuffer());
}

const valueOf = (value) => (value !== null && typeof value === "object" ? Uint8Array.from(value.hex.match(/../g), (pair) => parseInt(pair, 16)) : value);
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
/** A `bigint` is a number in JSON. */
const json = (value) => JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? `${inner}n` : inner), 2).replace(/"(\d+)n"/g, "$1");

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });
for (const one of parse(readFileSync(new URL("../../tests/matrix/cases.json", import.meta.url), "utf8"))) {
  writeFileSync(`${folder}/typescript-${one.name}.json`, json(await sealed(one)));
}
