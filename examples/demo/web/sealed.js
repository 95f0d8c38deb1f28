// A person's app: keys, and calls that are sealed and signed. The only file that imports the npm package, which does all cryptography.

import {
  Identity, IndexedDbStore, Pin, Recipient, SealContext, SealwireError, inspect, open, openStream, reseal, rewrap, seal, sealStream,
  sealedFetch, signRequest,
} from "./sealwire/web/browser.js";
import { Memory } from "./memory.js";
import { shipped } from "./server.js";

const ENVELOPE = "application/vnd.sealwire";
const NOTE_TYPE = "application/json";

/** The server said no. */
export class Refused extends Error {
  constructor(status) {
    super(`the server answered ${status}`);
    this.code = String(status);
  }
}

/** The name of what went wrong, for people and programs. */
export function codeOf(error) {
  return error.code ?? error.name;
}

/** Keys lie in the browser's storage, under a key that no script can take out of it. */
function keyStore(name) {
  return IndexedDbStore.open({ name: `sealwire-demo-${name}` });
}

export class Person {
  #identity;
  #memory;
  /** People whom this person has met, by name: their recipients. */
  contacts = new Map();
  name;

  constructor(name, identity, memory) {
    [this.name, this.#identity, this.#memory] = [name, identity, memory];
  }

  /** The person whose keys are on this device; `undefined` if there are none. */
  static async load(name) {
    const identity = await Identity.load(await keyStore(name), "identity");
    if (identity === undefined) return undefined;
    const memory = await Memory.open(name);
    const person = new Person(name, identity, memory);
    for (const [who, text] of await memory.below("contact/")) person.contacts.set(who, await Recipient.parse(text));
    return person;
  }

  /** Somebody new: makes keys, and keeps them on this device. */
  static async create(name) {
    const memory = await Memory.open(name);
    const identity = await Identity.generate();
    await identity.save(await keyStore(name), "identity");
    return new Person(name, identity, memory);
  }

  /** What to do when the keys on this device are deleted while the app runs. */
  set onlost(act) {
    this.#memory.onlost = act;
  }

  get recipient() {
    return this.#identity.recipient;
  }

  get pin() {
    return this.recipient.pin.toString();
  }

  get fingerprint() {
    return this.recipient.fingerprint.toString();
  }

  /** Puts this person's public keys into the server's directory. */
  publish() {
    return this.#call("PUT", `people/${this.name}`, this.recipient.toString(), "text/plain");
  }

  /** Somebody's public keys from the server's directory, which is not believed: if there is a pin, it decides. */
  async lookUp(name, pin) {
    const text = await (await this.#call("GET", `people/${name}`)).text();
    const recipient = await Recipient.parse(text);
    if (pin !== undefined) (await Pin.parse(pin)).check(recipient);
    return recipient;
  }

  /** From here on this person takes notes from `name`, and can write to them. */
  async meet(name, recipient) {
    await this.#memory.put({ [`contact/${name}`]: recipient.toString() });
    this.contacts.set(name, recipient);
  }

  /** Seals a note and a picture to `readers` and oneself, and sends them. */
  async write(text, readers, picture) {
    const id = crypto.randomUUID().slice(0, 8);
    if (picture !== undefined) await this.#attach(id, picture, readers);
    const created = Math.floor(Date.now() / 1000);
    await this.#put({ id, version: 1, created, text, picture: picture !== undefined }, readers);
    return id;
  }

  /** Sends one's own note once more, as its next version. */
  async writeAgain(id) {
    const note = await this.read(id);
    await this.#put({ ...note, version: note.version + 1 }, await this.readers(id));
  }

  async #put({ id, version, created, text, picture }, readers) {
    const note = JSON.stringify({ text, picture });
    const envelope = await seal(note, this.#recipients(readers), new SealContext("notes", id), {
      sign: this.#identity,
      metadata: { version },
      contentType: NOTE_TYPE,
      created,
    });
    await this.#call("PUT", `notes/${id}`, envelope, ENVELOPE);
    await this.#memory.put({ [`seen/notes/${id}`]: version, [`readers/${id}`]: [...readers] });
  }

  /** Opens a note: only if somebody whom this person has met signed it, and if it is not older than what was seen. */
  async read(id) {
    return this.#openNote(id, await envelopeOf(await this.#call("GET", `notes/${id}`)));
  }

  /** All notes. Each is what it holds, or the code of why it does not open. */
  async list() {
    const items = await (await this.#call("GET", "notes")).json();
    return Promise.all(
      items.map(async ({ id, envelope }) => {
        try {
          return await this.#openNote(id, fromText(envelope));
        } catch (error) {
          return { id, code: codeOf(error) };
        }
      }),
    );
  }

  async #openNote(id, envelope) {
    const senders = [this.#identity.signer, ...[...this.contacts.values()].map((contact) => contact.signer)];
    const opened = await open(envelope, this.#identity, new SealContext("notes", id), { expect: senders });
    const version = Number(opened.about.version ?? 0);
    await this.#refuseOlder(`notes/${id}`, version);
    const { text, picture } = JSON.parse(opened.text());
    const { created, addressedToMe: addressed } = opened.about;
    return { id, version, by: this.#nameOf(opened.signer), addressed, created, text, picture: picture === true };
  }

  /** Lets `readers` and oneself open a note and its picture: only headers are replaced. */
  async share(id, by, readers, picture) {
    await this.#shareOne("notes", id, by, readers);
    if (picture) await this.#shareOne("attachments", id, by, readers);
    await this.#memory.put({ [`readers/${id}`]: [...readers] });
  }

  async #shareOne(kind, id, by, readers) {
    const response = await this.#call("GET", `${kind}/${id}/front`);
    const revision = response.headers.get("etag");
    const front = new Uint8Array(await response.arrayBuffer());
    const context = new SealContext(kind, id);
    const expect = this.#recipientOf(by).signer;
    const rewrapped = await rewrap(front, this.#identity, context, this.#recipients(readers), { expect });
    const header = await inspect(rewrapped);
    await this.#refuseOlder(`${kind}/${id}`, Number(header.unverifiedMetadata.get("version") ?? 0));
    await this.#call("PUT", `${kind}/${id}/header?revision=${revision}`, rewrapped.slice(0, header.length));
  }

  /** Seals one's own note anew, under a new key: whoever is not among `readers` is out from here on. */
  async revoke(id, readers, picture) {
    const note = await this.read(id);
    if (picture) await this.#resealPicture(id, readers);
    await this.#put({ ...note, version: note.version + 1 }, readers);
  }

  /** With whom this person shared a note, as far as this device knows. */
  async readers(id) {
    return (await this.#memory.find(`readers/${id}`)) ?? [];
  }

  /** A picture is sealed as it is read. */
  async #attach(id, picture, readers) {
    const sealing = sealStream(this.#recipients(readers), new SealContext("attachments", id), {
      sign: this.#identity,
      metadata: { version: 1 },
      contentType: picture.type,
      filename: picture.name,
    });
    const envelope = await gather(picture.stream().pipeThrough(sealing));
    await this.#call("PUT", `attachments/${id}`, envelope, ENVELOPE);
    await this.#refuseOlder(`attachments/${id}`, 1);
  }

  /** Opens a picture as it comes in: a `File`, once all of it was verified. */
  async download(id, by) {
    const response = await this.#call("GET", `attachments/${id}`);
    const expect = this.#recipientOf(by).signer;
    const opening = openStream(this.#identity, new SealContext("attachments", id), { expect });
    const picture = await gather(sealedBody(response).pipeThrough(opening));
    const { about } = await opening.finished;
    await this.#refuseOlder(`attachments/${id}`, Number(about.version ?? 0));
    return new File([picture], about.filename ?? "picture", { type: about.contentType });
  }

  async #resealPicture(id, readers) {
    const envelope = await envelopeOf(await this.#call("GET", `attachments/${id}`));
    const current = Number((await inspect(envelope)).unverifiedMetadata.get("version") ?? 0);
    await this.#refuseOlder(`attachments/${id}`, current);
    const again = await reseal(envelope, this.#identity, new SealContext("attachments", id), this.#recipients(readers), {
      sign: this.#identity,
      expect: this.#identity.signer,
      metadata: { version: current + 1 },
    });
    await this.#call("PUT", `attachments/${id}`, again, ENVELOPE);
    await this.#refuseOlder(`attachments/${id}`, current + 1);
  }

  /** Asks the assistant: question and answer are sealed to it, in place. */
  async ask(question) {
    const policy = {
      services: { [shipped.api]: { pins: [shipped.servicePin] } },
      rules: [{ origin: shipped.api, path: "/assistant/{rest..}", exchange: true, sign: true }],
    };
    const api = sealedFetch(policy, { identity: this.#identity });
    const response = await api(`${shipped.api}/assistant/ask`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ question }),
      credentials: "omit",
    });
    if (!response.ok) throw new Refused(response.status);
    return response.json();
  }

  /** A server may serve an old version as new: the highest one that was seen is kept. */
  async #refuseOlder(path, version) {
    if (!(await this.#memory.raise(`seen/${path}`, version))) throw new SealwireError("Rejected", "rejected");
  }

  #recipientOf(name) {
    return name === this.name ? this.recipient : this.contacts.get(name);
  }

  #recipients(readers) {
    return [...new Set([...readers, this.name])].map((name) => this.#recipientOf(name));
  }

  #nameOf(signer) {
    const people = [[this.name, this.recipient], ...this.contacts];
    return people.find(([, recipient]) => recipient.signer.equals(signer))?.[0];
  }

  /** A signed call of the API. */
  async #call(method, path, body, type) {
    const headers = type === undefined ? {} : { "content-type": type };
    const options = { method, headers, body, credentials: "omit", redirect: "error", cache: "no-store" };
    const request = await signRequest(new Request(`${shipped.api}/${path}`, options), this.#identity);
    const response = await fetch(request).catch((cause) => {
      throw new SealwireError("Network", "network failed", { cause });
    });
    if (!response.ok) throw new Refused(response.status);
    return response;
  }
}

/** An answer that has to be an envelope: a server must not be able to answer with plaintext of its own. */
function sealedBody(response) {
  if (response.headers.get("content-type") !== ENVELOPE) throw new SealwireError("Unsealed", "unsealed");
  return response.body;
}

async function envelopeOf(response) {
  return (await gather(sealedBody(response))).arrayBuffer();
}

async function gather(stream) {
  const pieces = [];
  await stream.pipeTo(new WritableStream({ write: (piece) => void pieces.push(piece) }));
  return new Blob(pieces);
}

/** Base64url. */
function fromText(text) {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));
}
