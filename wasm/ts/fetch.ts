import { type SealContext, bare, bytes, chosen, listed, rawContext, unsigned } from "./context.js";
import { type ErrorCode, SealwireError, misuse, tell } from "./error.js";
import { type Identity, type Unlock, rawIdentity, rawKeyring } from "./keys.js";
import { LastSeen, type LastSeenStore } from "./last_seen.js";
import * as glue from "./glue/sealwire.js";
import { Held, call, load } from "./module.js";
import { passing, unlessAborted } from "./passing.js";
import { type Policy, chosenPolicy, rawPolicy, rawReader } from "./policy.js";
import { type Recipient, type Signer, makeSigner } from "./recipient.js";
import { type About, type Opened, OpenedPayload, type RawAbout, aboutOf } from "./seal.js";
import { type StretchNow, stretchingNow } from "./stretch.js";

/** What {@link sealedFetch} calls with, beside the policy. */
export interface SealedFetchOptions {
  /** Signs with this identity, and opens with it what is sealed to it. Freeing it later does not take it away from the fetch. */
  readonly identity?: Identity | undefined;
  /** Opens with these keys instead: a {@link Keyring} with older identities, say. */
  readonly keys?: Unlock | undefined;
  /**
   * Remembers versions, serials and pins here, across reloads and tabs: the highest of each counts. Without it they are forgotten with
   * the page, and a server may serve old versions to the next one.
   */
  readonly lastSeen?: LastSeenStore | undefined;
  /** What sends. By default the platform's own `fetch`, as it is at the time of each call. */
  readonly fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined;
  /** How many bytes a body may have that is held as a whole, on its way out or in: 64 MiB, unless told otherwise. */
  readonly maxBody?: number | undefined;
  /** Hears of the end of every call. It is called while the call waits, so it is quick; what it throws is dropped. */
  readonly observer?: ((event: CallEvent) => void) | undefined;
}

/** What an operator may know of one call. Every member has few values, so that nothing of a request can be told from it. */
export interface CallEvent {
  /** How it ended, or how far it came: `ok` when the answer is there, an error's code, or `aborted`. */
  readonly code: "ok" | "aborted" | ErrorCode;
  /** `envelope`, `exchange`, `signature`, several of them joined by `+`, or `none`. */
  readonly protection: string;
  /** The size of the request's body, rounded up to a power of four bytes; 0 if there is none or it is a stream. */
  readonly size: number;
  /** How long it took until the answer was there, in milliseconds. */
  readonly duration: number;
}

/** What one request says of itself, in the member `sealwire` of its init. */
export interface CallOptions {
  /** Who can read a sealed resource, in place of the rule's recipients: the complete list. */
  readonly to?: readonly Recipient[] | undefined;
  /**
   * The version of a sealed resource, for readers to compare: count it up with every change. One that is lower than this client has seen is
   * `Rejected`, and not sent; if only `lastSeen` knows of a higher one (of another tab, say), that is found when the service has answered, and
   * readers will refuse what was sent. Once the service has taken it, this client takes no older one.
   */
  readonly version?: number | bigint | undefined;
  /** The context of a sealed resource, where the URL does not name its id: a POST to a collection. */
  readonly context?: SealContext | undefined;
}

/** `fetch`, with `sealwire` as one more member of its init. */
export type SealedFetch = (input: RequestInfo | URL, init?: RequestInit & { readonly sealwire?: CallOptions }) => Promise<Response>;

/** What is known of a response beside what a `Response` can say. */
export interface SealedInfo {
  /** Who wrote a sealed resource: one of the rule's senders. */
  readonly signer?: Signer;
  /** What its writer said about a sealed resource. */
  readonly about?: About;
  /** The items of a list of sealed resources. */
  readonly list?: readonly ListItem[];
}

/** One item of a list: what it holds, or why it does not open. */
export interface ListItem {
  /** The resource's id, as the list says; if the item opened, it is right. */
  readonly id: string;
  readonly opened?: Opened;
  readonly error?: SealwireError;
}

const infos = new WeakMap<Response, SealedInfo>();
const DEFAULT_MAX_BODY = 64 * 1024 * 1024;
/** Where services publish their keys: what was seen of them has to be in the mirror before the module decides. */
const KEYS_PATH = "/.well-known/sealwire-keys";

/**
 * A `fetch` that seals: with fetch's own signature, for wherever a `fetch` can be given, and a policy that says what is done with which
 * URL. A URL that no rule covers rejects with `Misuse`: nothing goes in the clear.
 *
 * - **Responses** are standard ones, with the inner status and fields; {@link sealedInfo} has the rest. Under a `streamed` rule bodies
 *   come while they arrive, piece by piece authenticated, **before** the end was seen: if that is cut off, the stream errors with
 *   `Truncated`. `Set-Cookie` cannot be seen in browsers.
 * - **Redirects** are refused and never followed, whatever `redirect` says. Responses are never cached (`cache: "no-store"`).
 * - **Cookies** are the platform's own: as `credentials` says it sends them **outside** of exchanges, and signatures do not cover them.
 *   `Authorization` goes inside. Fields outside that the platform lets nobody set are `Misuse`, not left out.
 * - **`Referer`** is not sent, unless `referrerPolicy` says so: the page's URL would stand outside.
 * - **Request bodies** are held as a whole, up to `maxBody`; a `ReadableStream` with `duplex: "half"` is sent while it is made where the
 *   platform can (Node; Chromium over HTTP/2), and needs a rule with `exchange` and without `seal`. If the call
 *   fails, the stream is cancelled with the reason, and unlocked.
 * - **Other origins** have to allow, to preflights, the fields `authorization, cache-control, content-digest, content-type, incremental,
 *   sealwire-exchange, sealwire-exchange-head, signature, signature-input`, and expose `sealwire-status`: the tower layer's
 *   `allow_origins` does. Nothing else of an exchange travels outside.
 * - **Aborting** stops everything, and rejects with the signal's reason.
 *
 * Calls reject with `Unsealed` for an answer without the protection that the rule demands; `Rejected`, `NotRecipient`, `Truncated` and
 * the others of {@link open} for one that does not open; `Expired` and `InvalidKey` if the service refuses the request's date or key;
 * `Network`; `Store` if `lastSeen` fails. Only what cannot have an effect twice is repeated, once, for a new service key. Throws
 * `Misuse` for a policy or options with a member that nobody knows. Source: SPEC §18 to §21.
 *
 * ```ts
 * const api = sealedFetch(policy, { identity: alice, lastSeen: store });
 * const note = await api("https://api.example.com/notes/17");
 * console.log(`${sealedInfo(note)?.signer} wrote ${await note.text()}`);
 * ```
 */
export function sealedFetch(policy: Policy, options: SealedFetchOptions = {}): SealedFetch {
  policy = chosenPolicy(policy);
  options = chosen(options, "identity", "keys", "lastSeen", "fetch", "maxBody", "observer");
  const maxBody = options.maxBody ?? DEFAULT_MAX_BODY;
  unsigned(maxBody);
  let calls: Held<glue.Calls> | undefined;
  return async (input, init) => {
    const { body: given, ...rest } = membersOf(init ?? {});
    const stream = given instanceof ReadableStream ? given : undefined;
    let source: ReadableStream<Uint8Array> | null | undefined = stream;
    let asked: Asked;
    try {
      const sealwire = chosen(sealwireOf(init) ?? {}, "to", "version", "context");
      if (sealwire.to !== undefined) Object.assign(sealwire, { to: listed(sealwire.to) });
      // An iterator gives them once.
      if (rest.headers !== undefined) rest.headers = new Headers(rest.headers);
      // A stream is not the platform's to read: what is sent is made of it.
      const request = new Request(input, stream !== undefined || given === undefined ? rest : { ...rest, body: given });
      source ??= request.body;
      if (request.integrity) throw misuse("integrity is of what arrives, which is sealed");
      asked = new Asked(request, input, rest.headers, sealwire, source?.getReader());
    } catch (thrown) {
      source?.cancel(thrown).catch(() => {});
      throw thrown;
    }
    try {
      await load();
      const uploads = stream !== undefined && rest.duplex === "half" && canUpload();
      const body = uploads ? undefined : await asked.unlessAborted(asked.wholeBody(given, maxBody));
      asked.signal.throwIfAborted();
      // After a trap there is a new instance, and the policy has to get there.
      if (calls === undefined || !calls.isAlive) {
        const stretchNow = await stretchingNow(options.keys);
        // Unless another call was faster.
        if (calls === undefined || !calls.isAlive) calls = call(() => new Held(rawCalls(policy, options, maxBody, stretchNow)));
      }
      return await asked.unlessAborted(new Driver(calls, options, asked).respond(body, uploads));
    } catch (thrown) {
      throw asked.failed(thrown);
    }
  };
}

/** What is known of a response of {@link sealedFetch} beside what a `Response` can say: of any other response nothing, `undefined`. */
export function sealedInfo(response: Response): SealedInfo | undefined {
  return infos.get(response);
}

const MEMBERS = [
  "body", "cache", "credentials", "duplex", "headers", "integrity", "keepalive", "method", "mode", "redirect", "referrer", "referrerPolicy", "signal",
] as const;

/** What a `fetch` reads of its init, wherever it stands (a `Request` has it in its class), and each once. */
function membersOf(init: RequestInit & { duplex?: "half" }): RequestInit & { duplex?: "half" } {
  const members: Record<string, unknown> = {};
  for (const member of MEMBERS) {
    const value = init[member];
    if (value !== undefined) members[member] = value;
  }
  return members;
}

/** The member `sealwire`; not one that a stranger's JSON has put into every object. */
function sealwireOf(init: object | null | undefined): CallOptions | undefined {
  const own = Object.hasOwn(init ?? {}, "sealwire") || !("sealwire" in Object.prototype);
  return own ? (init as { sealwire?: CallOptions } | undefined)?.sealwire : undefined;
}

function rawCalls(policy: Policy, options: SealedFetchOptions, maxBody: number, stretchNow: StretchNow | undefined): glue.Calls {
  const raw = new glue.Calls(rawPolicy(policy), BigInt(maxBody));
  if (options.identity !== undefined) raw.identity(rawIdentity(options.identity));
  if (options.keys !== undefined) raw.keys(rawKeyring(options.keys, stretchNow));
  return raw;
}

/** A request as the app made it. */
class Asked {
  readonly signal: AbortSignal;
  readonly fields: Headers;
  #upload: Held<glue.Upload> | undefined;

  constructor(
    readonly request: Request,
    /** What the request was made of: its signal follows that one's, as long as that one is there. */
    readonly input: RequestInfo | URL,
    fields: HeadersInit | undefined,
    readonly options: CallOptions,
    /** Where the body comes from, if it shows. */
    readonly source: ReadableStreamDefaultReader<Uint8Array> | undefined,
  ) {
    this.signal = request.signal;
    // A `Request` leaves out what a page may not set; inside of an exchange it may.
    this.fields = new Headers(fields ?? request.headers);
    const contentType = request.headers.get("content-type");
    if (contentType !== null) this.fields.set("content-type", contentType);
  }

  raw(body: Uint8Array | undefined, streamed: boolean): glue.CallRequest {
    const { to, version, context } = this.options;
    let raw = new glue.CallRequest(this.request.method, this.request.url.replace(/#.*/s, ""), [...this.fields].flat());
    if (streamed) raw = raw.streamed();
    if (body !== undefined) raw = raw.body(body);
    if (to !== undefined) {
      raw.nobody();
      for (const reader of to) raw.to(rawReader(reader));
    }
    if (version !== undefined) raw = raw.version(unsigned(version));
    if (context !== undefined) {
      const made = rawContext(context);
      raw = raw.context(made);
      made.free();
    }
    return raw;
  }

  /** What comes, unless it is aborted before: a store or a `fetch` of the app's own may never answer. */
  unlessAborted<T>(coming: T | Promise<T>): Promise<T> {
    return unlessAborted(this.signal, coming);
  }

  /** The body as a whole; an empty one is a body, too. */
  async wholeBody(given: BodyInit | null | undefined, limit: number): Promise<Uint8Array | undefined> {
    // Some browsers have bodies and do not show them.
    if (this.source === undefined) {
      const bytes = new Uint8Array(await this.request.arrayBuffer());
      return bytes.length > 0 || (given !== undefined && given !== null) ? bytes : undefined;
    }
    const pieces: Uint8Array[] = [];
    let length = 0;
    for (let piece = await this.#read(); piece !== undefined; piece = await this.#read()) {
      pieces.push(piece);
      length += piece.length;
      if (length > limit) throw new SealwireError("TooLarge", "too large: a body that is sent as a whole");
    }
    const whole = new Uint8Array(length);
    let at = 0;
    for (const piece of pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    return whole;
  }

  /** The body, sealed while it is made. Without its end, which is not sent if the stream fails, the service says `Truncated`. */
  upload(raw: glue.Upload, front: Uint8Array): ReadableStream<Uint8Array> {
    const upload = (this.#upload = new Held(raw));
    return passing(front, () => this.#read(), (piece) => call(() => upload.object.seal(piece)), (reason) => this.failed(reason));
  }

  async #read(): Promise<Uint8Array | undefined> {
    const { done, value } = await (this.source as ReadableStreamDefaultReader<Uint8Array>).read();
    if (!done && !(value instanceof Uint8Array)) throw misuse("a body's stream gives Uint8Arrays");
    return value;
  }

  /** Lets go of the body, which has nothing more to give; what the app is to be told, and its stream is. */
  failed(thrown: unknown): unknown {
    const reason = this.signal.aborted ? this.signal.reason : thrown;
    // Before the stream looks as if it had come to its end.
    this.#upload?.free();
    this.source?.cancel(reason).catch(() => {});
    this.source?.releaseLock();
    return reason;
  }
}

const enum Phase { Send, Await, Read, Pass, Done, List }

/** Sends what the module says, and gives it what comes. */
class Driver {
  readonly #calls: Held<glue.Calls>;
  readonly #seen: LastSeen;
  readonly #options: SealedFetchOptions;
  readonly #asked: Asked;

  constructor(calls: Held<glue.Calls>, options: SealedFetchOptions, asked: Asked) {
    this.#calls = calls;
    this.#seen = new LastSeen(options.lastSeen, calls);
    this.#options = options;
    this.#asked = asked;
  }

  async respond(body: Uint8Array | undefined, uploads: boolean): Promise<Response> {
    const { observer } = this.#options;
    const began = Date.now();
    let told: [string, bigint] | undefined;
    let code: CallEvent["code"] = "ok";
    try {
      const held = call(() => {
        const request = this.#asked.raw(body, uploads);
        if (observer !== undefined) told = this.#calls.object.event(request) as [string, bigint];
        return new Held(this.#calls.object.call(request, now()));
      });
      try {
        return await this.#run(held);
      } catch (thrown) {
        held.free();
        throw thrown;
      }
    } catch (thrown) {
      code = this.#asked.signal.aborted ? "aborted" : thrown instanceof SealwireError ? thrown.code : "internal";
      throw thrown;
    } finally {
      const [protection, size] = told ?? ["none", 0n];
      tell(observer, { code, protection, size: Number(size), duration: Date.now() - began });
    }
  }

  async #run(held: Held<glue.Call>): Promise<Response> {
    const step = (take: (raw: glue.Call) => void) => this.#seen.watch(() => take(held.object));
    for (;;) {
      const { outer, url } = await this.#send(held);
      const reader = outer.body?.getReader();
      try {
        const fields = [...outer.headers].flat();
        // Made by hand, a response has no URL.
        const redirected = outer.redirected || (outer.url !== "" && outer.url !== url);
        step((raw) => raw.answered(outer.status, fields, redirected));
        while (call(() => held.object.phase()) === Phase.Read) {
          const wantsMore = call(() => held.object.wantsMore());
          const piece = wantsMore ? await this.#read(reader) : undefined;
          if (!wantsMore) reader?.cancel().catch(() => {});
          if (piece === undefined && url.endsWith(KEYS_PATH)) await this.#seen.loadServices();
          step((raw) => (piece === undefined ? raw.finish(now()) : raw.read(piece)));
        }
        await this.#seen.remember();
        this.#asked.signal.throwIfAborted();
        switch (call(() => held.object.phase())) {
          case Phase.Send:
            continue;
          case Phase.Pass:
            return this.#passing(held, reader);
          default:
            return await this.#whole(held);
        }
      } catch (thrown) {
        reader?.cancel(thrown).catch(() => {});
        // That a write was taken counts, whatever the rest of the answer was.
        await this.#seen.remember().catch(() => {});
        throw thrown;
      }
    }
  }

  async #send(held: Held<glue.Call>): Promise<{ outer: Response; url: string }> {
    const [method, url, fields, body, upload] = call(() => held.object.send()) as [
      string, string, string[], Uint8Array<ArrayBuffer>, glue.Upload | undefined,
    ];
    const { credentials, keepalive, mode, referrerPolicy, signal } = this.#asked.request;
    const init: RequestInit & { duplex?: "half" } = {
      method, headers: pairs(fields), redirect: "manual", cache: "no-store", credentials, referrerPolicy: referrerPolicy || "no-referrer", signal,
    };
    if (keepalive && upload === undefined) init.keepalive = true;
    if (mode === "same-origin") init.mode = mode;
    if (upload !== undefined) {
      init.body = this.#asked.upload(upload, body);
      init.duplex = "half";
    } else if (body.length > 0) init.body = body;
    const kept = new Request(url, { method, headers: pairs(fields) }).headers;
    if (fields.some((name, at) => at % 2 === 0 && !kept.has(name))) {
      throw misuse("a field outside that this platform lets nobody set");
    }
    try {
      const send = this.#options.fetch ?? globalThis.fetch;
      return { outer: await send(url, init), url };
    } catch (cause) {
      if (cause instanceof SealwireError) throw cause;
      throw new SealwireError("Network", "network failed: the request could not be sent: no connection, or the service lets no page of this origin ask (CORS)", { cause });
    }
  }

  async #read(reader: ReadableStreamDefaultReader<Uint8Array> | undefined): Promise<Uint8Array | undefined> {
    try {
      const piece = (await this.#asked.unlessAborted(reader?.read()))?.value;
      return piece === undefined ? undefined : bytes(piece);
    } catch (cause) {
      throw new SealwireError("Network", "network failed: the connection broke", { cause });
    }
  }

  #passing(held: Held<glue.Call>, reader: ReadableStreamDefaultReader<Uint8Array> | undefined): Response {
    const [status, fields, front] = call(() => held.object.answer()) as RawAnswer;
    const over = (reason?: unknown) => {
      held.free();
      reader?.cancel(reason).catch(() => {});
      return reason && this.#asked.failed(reason);
    };
    const body = passing(front, () => this.#read(reader), (piece) => call(() => held.object.pass(piece)), over);
    if (isBodyless(status)) body.cancel().catch(() => {});
    return this.#response(status, fields, body, {});
  }

  async #whole(held: Held<glue.Call>): Promise<Response> {
    const [status, fields, body, signer, about] = call(() => held.object.answer()) as RawAnswer;
    const list = call(() => held.object.phase()) === Phase.List ? await this.#list(held) : undefined;
    held.free();
    return this.#response(status, fields, body, {
      ...(signer === undefined ? {} : { signer: makeSigner(signer) }),
      ...(about === undefined ? {} : { about: aboutOf(about) }),
      ...(list === undefined ? {} : { list }),
    });
  }

  async #list(held: Held<glue.Call>): Promise<ListItem[]> {
    const list: ListItem[] = [];
    let rested = Date.now();
    for (;;) {
      const item = this.#seen.watch(() => held.object.item()) as RawItem | undefined;
      if (item === undefined) return list;
      const [id, plaintext, signer, about, failure] = item;
      try {
        await this.#seen.remember();
        if (failure !== undefined) throw new SealwireError(failure[0], failure[1], { status: failure[2] });
        list.push(bare({ id, opened: new OpenedPayload(plaintext, { about: aboutOf(about), ...(signer === undefined ? {} : { signer: makeSigner(signer) }) }) }));
      } catch (error) {
        if (!(error instanceof SealwireError) || error.code === "Store") throw error;
        list.push(bare({ id, error }));
      }
      // Thousands of envelopes are seconds of work: the page runs between.
      if (Date.now() - rested > 16) {
        await new Promise((resolve) => setTimeout(resolve));
        rested = Date.now();
        this.#asked.signal.throwIfAborted();
      }
    }
  }

  #response(status: number, fields: string[], body: BodyInit, info: SealedInfo): Response {
    const response = new Response(isBodyless(status) ? null : body, { status, headers: pairs(fields) });
    return dressed(response, this.#asked.request.url, info);
  }
}

type RawAnswer = [number, string[], Uint8Array<ArrayBuffer>, string | undefined, RawAbout | undefined];
type RawItem = [string, Uint8Array<ArrayBuffer>, string | undefined, RawAbout, [ErrorCode, string, number | undefined] | undefined];

/** The same response, with what its constructor does not take. */
function dressed(response: Response, url: string, info: SealedInfo): Response {
  infos.set(response, bare(info));
  const clone = () => dressed(Response.prototype.clone.call(response), url, info);
  return Object.defineProperties(response, { url: { value: url.replace(/#.*/s, "") }, clone: { value: clone } });
}

/** Whether the platform sends streams: it then asks for `duplex`, and does not take the stream for text. */
function canUpload(): boolean {
  let asked = false;
  const init = {
    method: "POST",
    body: new ReadableStream(),
    get duplex() {
      asked = true;
      return "half";
    },
  };
  return !new Request("http://localhost", init as RequestInit).headers.has("content-type") && asked;
}

function pairs(fields: string[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (let at = 0; at < fields.length; at += 2) pairs.push([fields[at] as string, fields[at + 1] as string]);
  return pairs;
}

/** What a `Response` takes no body for. */
function isBodyless(status: number): boolean {
  return status === 204 || status === 205 || status === 304;
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}
