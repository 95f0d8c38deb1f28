// What TypeScript accepts and refuses. Compiled, never run; every `@ts-expect-error` has to be one.

import {
  type About, ContentKey, type ErrorCode, type Finished, Header, Identity, type KeyService, Keyring, type Metadata, type Opened, type OpenTransform, Passphrase, Pin,
  type Policy, Recipient, SealContext, SealedBlob, SealwireError, Signer, SymmetricKey, type UnlockRequest, type UnverifiedSlot, inspect, open,
  openDetached, openStream, reseal, rewrap, rewrapHeader, seal, sealParts, sealStream, sealedFetch, signRequest,
} from "../../dist/esm/index.js";
import { verifyRequest } from "../../dist/esm/server.js";

declare function is<T>(value: T): void;
declare const context: SealContext;
declare const bytes: Uint8Array;

const alice = await Identity.generate();
const bob = await Identity.generate({ kem: "X25519" });
// @ts-expect-error no such KEM
await Identity.generate({ kem: "RSA" });
// @ts-expect-error there is no constructor
new Identity();
// @ts-expect-error a recipient is parsed, not made
new Recipient("sealwire1…");

new SealContext("notes", "17", 4, 4n, bytes);
// @ts-expect-error a namespace is needed
new SealContext();
// @ts-expect-error no such field
new SealContext("notes", true);

is<Uint8Array>(await seal(bytes, bob.recipient, context));
await seal("text", [bob.recipient, { anonymous: alice.recipient }], context, {
  sign: alice, metadata: { version: 1 }, created: 1, contentType: "text/plain", filename: "a", aead: "Aes256Gcm", padding: "none", part: "p",
  allowClassical: true,
});
// @ts-expect-error an identity is no recipient
await seal(bytes, bob, context);
// @ts-expect-error a context is needed
await seal(bytes, bob.recipient);
// @ts-expect-error no such option
await seal(bytes, bob.recipient, context, { signer: alice });
// @ts-expect-error no such AEAD
await seal(bytes, bob.recipient, context, { aead: "DES" });
// @ts-expect-error no such padding
await seal(bytes, bob.recipient, context, { padding: true });
const kms: KeyService = { service: "my-kms", wrapKey: async (contentKey, binding) => new Uint8Array([...contentKey, ...binding]) };
await seal(bytes, kms, context);
await rewrap(bytes, bob, context, [alice.recipient, kms, { service: "other", wrapKey: async () => bytes }]);
// @ts-expect-error it is asked later
await seal(bytes, { service: "my-kms", wrapKey: () => bytes }, context);
sealStream(kms, context);
// @ts-expect-error a payload is bytes or text
await seal({ note: 1 }, bob.recipient, context);

const opened = await open(bytes, new Keyring(bob, await SymmetricKey.generate()), context, { expect: [alice.signer] });
is<Opened>(opened);
is<Uint8Array>(opened.plaintext);
is<string>(opened.text());
is<Signer | undefined>(opened.signer);
is<About>(opened.about);
is<Metadata>(opened.about.metadata);
is<"yes" | "no" | "unstated">(opened.about.addressedToMe);
// @ts-expect-error it may be unsigned
is<Signer>(opened.signer);
// @ts-expect-error results are not to be changed
opened.plaintext = bytes;
// @ts-expect-error a recipient opens nothing
await open(bytes, bob.recipient, context);
// @ts-expect-error signers, not recipients, are expected
await open(bytes, bob, context, { expect: alice.recipient });

is<Uint8Array>(await rewrap(bytes, bob, context, [alice.recipient]));
is<Uint8Array>(await reseal(bytes, bob, context, [alice.recipient], { sign: bob }));
// @ts-expect-error the complete new list is needed
await rewrap(bytes, bob, context);

const header: Header = await inspect(bytes);
is<readonly UnverifiedSlot[]>(header.unverifiedSlots);
for (const slot of header.unverifiedSlots) if (slot.kind === "hpke") is<"XWing" | "X25519">(slot.kem);

const requests: UnlockRequest[] = (await Header.parse(bytes)).unlockRequests();
for (const request of requests) {
  is<Uint8Array>(request.binding);
  if (request.kind === "external") is<string>(request.service);
}
is<ContentKey>(header.contentKey(bytes));
await open(bytes, await header.unlock(bob), context);
// @ts-expect-error a content key is verified, not made
new ContentKey(bytes);
// @ts-expect-error a header is read, not made
new Header(bytes);
// @ts-expect-error 32 bytes that were unlocked elsewhere are not yet a key
await open(bytes, bytes, context);

const { header: front, bodies } = await sealParts({ title: "a", text: bytes }, [bob.recipient], context, { sign: alice });
is<Opened>(await openDetached(front, bodies.title, bob, context, { part: "title" }));
is<Uint8Array>(await rewrapHeader(front, bodies.text, bob, context, [alice.recipient]));
// @ts-expect-error no such part
bodies.other;
// @ts-expect-error parts have their names
await sealParts({ title: "a" }, [bob.recipient], context, { part: "title" });

// A policy that was not written in the call itself.
const policy = { services: { "https://a": { pins: ["sealwire-pin1…"] } }, rules: [{ origin: "https://a", path: "/{rest..}", exchange: true, sign: true }] };
sealedFetch(policy);
is<Policy>(policy);
// @ts-expect-error no such member
is<Policy>({ rules: [{ origin: "https://a", path: "/", exchanges: true }] });

is<ReadableStream<Uint8Array>>(new Blob().stream().pipeThrough(sealStream([bob.recipient], context, { length: 1, signal: AbortSignal.timeout(1) })));
const opening: OpenTransform = openStream(bob, context, { expect: alice.signer });
is<ReadableStream<Uint8Array>>(new Blob().stream().pipeThrough(opening));
is<Finished>(await opening.finished);
const blob = await SealedBlob.open(new Blob(), bob, context);
is<Uint8Array>(await blob.read(0, 1));

is<Request>(await signRequest(new Request("https://a"), alice, { cover: ["if-match"] }));
const verified = await verifyRequest(new Request("https://a"), async (keyId) => (is<string>(keyId), alice.signer), { origin: "https://a" });
is<Signer>(verified.signer);
// @ts-expect-error the origin is needed
await verifyRequest(new Request("https://a"), alice.signer, {});

(await Pin.parse("")).check(bob.recipient);
await Passphrase.create("x", { memory: 65536, passes: 3, lanes: 4 });
// @ts-expect-error all costs or none
await Passphrase.create("x", { memory: 65536 });

const error = new SealwireError("Rejected", "");
is<ErrorCode>(error.code);
// @ts-expect-error no such code
if (error.code === "Oops") throw error;
