/// <reference lib="esnext.disposable" preserve="true" />
// What requests have to pass before an app gets them, on web-standard Request and Response.

// The entry for this runtime, which knows where the module is.
import "sealwire";
import { SealwireError, misuse, tell } from "./error.js";
import { Identity, rawIdentity } from "./keys.js";
import * as glue from "./glue/sealwire.js";
import { Held, call, run, scoped } from "./module.js";
import { type Kem, type Pin, Signer, makeSigner } from "./recipient.js";
import { MemoryReplayCache, type ReplayCache } from "./replay.js";
import { bare, bytes, chosen, flag, textual, unsigned, wellFormed } from "./context.js";
import { passing } from "./passing.js";

export { MemoryReplayCache, type ReplayCache };
export { verifyRequest, type OriginKeys, type VerifiedRequest, type VerifyRequestOptions } from "./verify.js";

let rawKeys: (keys: ServiceKeys) => glue.ServiceKeys;
let makeService: (driver: Driver) => Service;
let serviceDriver: (service: Service) => Driver;
let makeGateway: (driver: Driver) => Gateway;

/** The most that is collected of an app's response to a request in the whole form, in bytes. */
const MAX_RESPONSE = 64 * 1024 * 1024;
/** How long a service key lives, in seconds, unless told otherwise. */
const WEEK = 7 * 24 * 3600;

/** Where service keys are kept: what {@link ServiceKeys.save} and {@link ServiceKeys.load} need of a store. */
export interface ServiceKeysStore {
  /** Replaces what was there, atomically. The store does not keep `secret` itself: it is wiped afterwards. */
  save(name: string, secret: Uint8Array): Promise<void>;
  /** A copy that is the caller's own. */
  load(name: string): Promise<Uint8Array | undefined | null>;
}

/**
 * The private keys of a service, which clients seal their requests to.
 *
 * Keys live for 7 days. Of several processes **exactly one** rotates (once a day) and saves; the others {@link ServiceKeys.reload} more often
 * than every hour: two that rotate would give two keys one id. They go on to be changed here when a service has them. Source: SPEC §19.
 *
 * ```ts
 * const keys = (await ServiceKeys.load(store, "api")) ?? (await ServiceKeys.generate());
 * await keys.save(store, "api");
 * ```
 */
export class ServiceKeys {
  readonly #held: Held<glue.ServiceKeys>;

  private constructor(raw: glue.ServiceKeys) {
    this.#held = new Held(raw);
  }

  /**
   * A first key, published at once, X-Wing (post-quantum) and for 7 days unless told otherwise (`lifetime` in seconds). Rejects with `Misuse`
   * for a lifetime of zero or above 7 days, `Unsupported` if the system gives no randomness.
   */
  static generate(options: { kem?: Kem; lifetime?: number } = {}): Promise<ServiceKeys> {
    return run(() => {
      const { kem = "XWing", lifetime = WEEK } = chosen(options, "kem", "lifetime");
      return new ServiceKeys(glue.ServiceKeys.generate(textual(kem), unsigned(lifetime), now()));
    });
  }

  /**
   * The keys that were saved, without those that have expired; `undefined` if nothing was, or all have. Rejects with `Malformed` if they are
   * not keys.
   */
  static async load(store: ServiceKeysStore, name: string): Promise<ServiceKeys | undefined> {
    const saved = await store.load(name);
    if (!saved) return undefined;
    const raw = await run(() => wiping(saved, () => glue.ServiceKeys.fromBytes(saved, now())));
    return raw && new ServiceKeys(raw);
  }

  /** Keeps the keys for the next start and for other processes. */
  async save(store: ServiceKeysStore, name: string): Promise<void> {
    const secret = call(() => this.#held.object.reveal(now()));
    try {
      await store.save(name, secret);
    } finally {
      secret.fill(0);
    }
  }

  /** Takes what another process has saved. `Misuse` if nothing was, `Expired` if all of it has. */
  async reload(store: ServiceKeysStore, name: string): Promise<void> {
    const saved = await store.load(name);
    if (!saved) throw misuse("no keys are saved under this name");
    call(() => wiping(saved, () => this.#held.object.replace(saved, now())));
  }

  /**
   * Adds a key like the newest one, understood at once and published an hour later, and drops those that have expired. Call it once a day, in
   * one process, and save. Throws `TooLarge` if there are 16 keys.
   */
  rotate(): void {
    call(() => this.#held.object.rotate(now()));
  }

  /** When the first of the published keys expires; `undefined` if none is left. */
  get expires(): Date | undefined {
    const seconds = call(() => this.#held.object.expires(now()));
    return seconds === undefined ? undefined : new Date(Number(seconds) * 1000);
  }

  static {
    rawKeys = (keys) => keys.#held.object;
  }
}

/** Whose signatures count, and how strictly. The defaults are strict: 300 s of age and validity, 30 s between clocks, a nonce. */
export interface VerifyOptions {
  /**
   * A list, or a function that looks a key up by the name that a signature gives it (a JWK thumbprint, 43 characters). It proves nothing: give
   * only signers whom you trust.
   */
  readonly signers: readonly Signer[] | ((keyId: string) => Signer | undefined | null | Promise<Signer | undefined | null>);
  /** Fields that have to be there and covered. */
  readonly require?: readonly string[];
  /** Refuses what was signed longer ago, in seconds. */
  readonly maxAge?: number;
  /** Refuses what its signer wants to be valid for longer, in seconds. */
  readonly maxValidity?: number;
  /** How far clocks may be apart, in seconds. */
  readonly clockSkew?: number;
  /** Takes signatures without a nonce. **They can be replayed** while they are valid. */
  readonly allowMissingNonce?: boolean;
}

/** What was done, how large it was, how long it took and how it ended: never content, paths or keys. */
export interface ServiceEvent {
  /** A check of a signature, the opening of an exchange, or the whole of a request with the app's own time. */
  readonly operation: "verify" | "open" | "serve";
  /** `ok`, an error's code, or of `serve` `app` if the app answered with a server error. */
  readonly code: string;
  /** `exchange`, `signature`, or both joined by `+`. */
  readonly protection: string;
  /** The size of the body, rounded up to a power of four bytes; 0 if there is none or it is a stream. */
  readonly size: number;
  /** In milliseconds. */
  readonly duration: number;
  /** Which of the service's keys was used. */
  readonly keyId?: number;
}

/** What a service and a gateway have in common. */
interface GateOptions {
  /** Where everybody outside finds the service: `https://api.example.com`. A received `Host` decides nothing. */
  readonly origin: string;
  /** **Lets requests for these paths in as they are**: `/health`. Patterns are like `/notes/{id}`, or `/files/{rest..}` for all that is below. */
  readonly plain?: readonly string[];
  /** Where requests are remembered: in this process's memory, unless told otherwise. Several processes need a shared one. */
  readonly replay?: ReplayCache;
  /**
   * Where those that nobody signed are remembered: in `replay`, if that is given, else in memory apart from the others. **A cache that strangers
   * can fill refuses everybody**: give two where signed and unsigned exchanges come.
   */
  readonly replayUnsigned?: ReplayCache;
  /** The web origins whose pages may call from browsers. */
  readonly allowOrigins?: readonly string[];
  /** How long a body may take to arrive where it is held, and each piece of one that streams, in milliseconds: 30 s, unless told otherwise. */
  readonly bodyTimeout?: number;
  /**
   * How many bytes all bodies together may hold while they arrive: 256 MiB, unless told otherwise, and those of requests that nobody signed half
   * of it. What is above gets 503.
   */
  readonly memory?: number;
  /** Hears of every request and every refusal. It is called while the request waits, so it is quick; what it throws is dropped. */
  readonly observer?: (event: ServiceEvent) => void;
}

/** What a service takes. Everything is demanded everywhere, unless a path is excepted by name. */
export interface ServiceOptions extends GateOptions {
  /** What clients seal to. They belong to this service from here on. */
  readonly keys: ServiceKeys;
  /** Who signs for the keys; clients carry its pin. */
  readonly identity: Identity;
  /** Says that these may sign for the keys, too, from now on. */
  readonly nextPins?: readonly Pin[];
  /** Demands a signature on every request. */
  readonly verify?: VerifyOptions;
  /** Lets requests for these paths in without an exchange, but signed: where the service only stores envelopes. */
  readonly signedOnly?: readonly string[];
  /** Lets exchanges for these paths in from anybody, unsigned. Who signs is verified. */
  readonly unsigned?: readonly string[];
  /**
   * Hands requests for these paths on while their body arrives. **The app then acts on a body that may turn out to be cut off**: it has to undo
   * what it did if the body ends in an error.
   */
  readonly stream?: readonly string[];
  /** A gateway in front replaces `public` at the start of the path by `local`: `"/api"` and `""`, say. */
  readonly mounted?: { readonly public: string; readonly local: string };
  /** Also takes tunnelled exchanges, at this path. */
  readonly tunnel?: string;
  /** Also takes requests without a body that travel as POST. */
  readonly postCarrier?: boolean;
  /** Shows the class of the inner status outside (`2xx`), so that a gateway can count failures. */
  readonly coarseStatus?: boolean;
  /** How far a request's date may be from this clock, in seconds: 300, unless told otherwise. */
  readonly window?: number;
  /** How many bytes the body of a request may have: 8 MiB, unless told otherwise. */
  readonly maxBody?: number;
  /** Refuses a second request with the same `Idempotency-Key`, so that clients may repeat what they do not know the outcome of. */
  readonly enforceIdempotencyKeys?: boolean;
  /** Hands these outer fields on to the app, in place of inner ones: what your own gateway adds, such as `x-request-id`. */
  readonly passOuter?: readonly string[];
}

/** What a gateway takes. It holds no key that decrypts. */
export interface GatewayOptions extends GateOptions {
  /** Whose signatures count. */
  readonly verify: VerifyOptions;
  /** How many bytes the body of a request may have: 8 MiB, unless told otherwise. */
  readonly maxBody?: number;
}

/** A request that was let in, and what seals its answer. */
export interface Exchange {
  /** What the app is asked: of an exchange the inner request. */
  readonly request: Request;
  /** Who signed it. */
  readonly signer?: Signer;
  /**
   * Makes of the app's response what is sent: sealed, if the request was. To a request in the chunked form the body is sealed while it is made;
   * otherwise it is collected, up to 64 MiB. What cannot be sealed becomes a sealed 500. Once: then `Misuse`.
   */
  seal(response: Response): Promise<Response>;
}

/** A request whose signature is good, with its body. */
export interface AdmittedRequest {
  readonly request: Request;
  /** Who signed it; absent only on a path that is `plain`. */
  readonly signer?: Signer;
}

/**
 * A service that takes exchanges. Make it with {@link createService}; ask it with {@link openExchange}, or let {@link Service.handle} do everything.
 *
 * Should the WebAssembly module fail (`internal`), its keys are gone with it: every later call is `stale`, until the keys are loaded again
 * and the service made anew.
 */
export class Service {
  readonly #driver: Driver;

  private constructor(driver: Driver) {
    this.#driver = driver;
  }

  /**
   * Opens a request, asks `app`, and seals what it answers. What is not let in is answered here, with an `application/problem+json` that does not say
   * why. Put it around the whole app, not single routes: a tunnelled request comes to another path than it is for. What `app` throws is thrown.
   *
   * ```ts
   * export default { fetch: (request: Request) => service.handle(request, (request, signer) => app.fetch(request, { signer })) };
   * ```
   */
  async handle(
    request: Request,
    app: (request: Request, signer: Signer | undefined) => Response | Promise<Response>,
  ): Promise<Response> {
    return answered(await this.#driver.open(request), app);
  }

  /** Frees it, with its keys. Streams under way go on. */
  free(): void {
    this.#driver.free();
  }

  /** The same as {@link Service.free}, for `using`. */
  [Symbol.dispose](): void {
    this.free();
  }

  static {
    makeService = (driver) => new Service(driver);
    serviceDriver = (service) => service.#driver;
  }
}

/** Verifies signatures, with public keys alone. Make it with {@link createGateway}; it remembers what it let in, so that each request comes once. */
export class Gateway {
  readonly #driver: Driver;

  private constructor(driver: Driver) {
    this.#driver = driver;
  }

  /**
   * Verifies who sent a request: the request with its body, and its signer, or a response to be sent as it is (401 for whatever is not signed
   * well or comes twice, and 413, 503). For calls from browsers use {@link Gateway.handle}, which also answers for CORS.
   */
  verify(request: Request): Promise<AdmittedRequest | Response> {
    return this.#driver.open(request);
  }

  /** Verifies a request, and hands it on with `forward`. What is not let in is answered here. */
  async handle(
    request: Request,
    forward: (request: Request, signer: Signer | undefined) => Response | Promise<Response>,
  ): Promise<Response> {
    return answered(await this.#driver.open(request), forward);
  }

  /** Frees it. */
  free(): void {
    this.#driver.free();
  }

  /** The same as {@link Gateway.free}, for `using`. */
  [Symbol.dispose](): void {
    this.free();
  }

  static {
    makeGateway = (driver) => new Gateway(driver);
  }
}

/**
 * A service that takes exchanges, and publishes its keys at `/.well-known/sealwire-keys`. Rejects with `Malformed` for an origin or a pattern
 * that is not one, and with `Misuse` if the keys have a service. Source: SPEC §18 to §21.
 *
 * ```ts
 * const service = await createService({ origin: "https://api.example.com", keys, identity, verify: { signers }, plain: ["/health"] });
 * ```
 */
export function createService(options: ServiceOptions): Promise<Service> {
  return run(() =>
    scoped((own) => {
      options = chosenGate(options, ...OF_SERVICES);
      if (!(options.keys instanceof ServiceKeys)) throw misuse("keys are ServiceKeys of this copy of the package");
      if (!(options.identity instanceof Identity)) throw misuse("identity is an Identity of this copy of the package");
      if (options.signedOnly !== undefined && options.verify === undefined) throw misuse("signedOnly is nothing without verify, which says who may sign");
      const excepted = [options.plain, options.signedOnly, options.unsigned].flatMap((patterns) => [...new Set(patterns)]);
      if (new Set(excepted).size < excepted.length) throw misuse("a path is in one of plain, signedOnly and unsigned");
      const exchanges = own(new glue.Exchanges(wellFormed(options.origin)));
      const { mounted } = options;
      if (mounted !== undefined) exchanges.mounted(wellFormed(mounted.public), wellFormed(mounted.local));
      if (options.tunnel !== undefined) exchanges.tunnel(wellFormed(options.tunnel));
      if (flag(options.postCarrier)) exchanges.postCarrier();
      if (flag(options.coarseStatus)) exchanges.coarseStatus();
      if (options.window !== undefined) exchanges.window(unsigned(options.window));
      if (options.maxBody !== undefined) exchanges.maxBody(unsigned(options.maxBody));
      // What is wrong with the options is said while the keys are still free.
      configure(own(glue.Gate.gateway(wellFormed(options.origin))), options);
      const gate = exchanges.gate(rawKeys(options.keys), rawIdentity(options.identity));
      configure(gate, options);
      return makeService(new Driver(gate, options));
    }),
  );
}

/**
 * A gateway that lets in what is signed, and needs public keys alone; behind it exchanges and envelopes stay closed. Rejects with `Malformed` for
 * an origin or a pattern that is not one. Source: SPEC §21.
 */
export function createGateway(options: GatewayOptions): Promise<Gateway> {
  return run(() => {
    options = chosenGate(options);
    const gate = glue.Gate.gateway(wellFormed(options.origin));
    if (options.verify === undefined) throw misuse("a gateway verifies");
    configure(gate, options);
    return makeGateway(new Driver(gate, options));
  });
}

/**
 * Opens a request: what the app is asked and what seals its answer, or a response to be sent as it is. See {@link Service.handle}, which
 * does the rest, too.
 *
 * ```ts
 * const exchange = await openExchange(request, service);
 * if (exchange instanceof Response) return exchange;
 * return exchange.seal(await app(exchange.request));
 * ```
 */
export async function openExchange(request: Request, service: Service): Promise<Exchange | Response> {
  if (!(service instanceof Service)) throw misuse("a service is what createService resolves to: await it");
  return serviceDriver(service).open(request);
}

type Everything = GateOptions & Partial<ServiceOptions>;

const OF_BOTH = ["origin", "verify", "plain", "replay", "replayUnsigned", "allowOrigins", "bodyTimeout", "memory", "maxBody", "observer"];
const OF_SERVICES = [
  "keys", "identity", "nextPins", "signedOnly", "unsigned", "stream", "mounted", "tunnel", "postCarrier", "coarseStatus", "window",
  "enforceIdempotencyKeys", "passOuter",
];

/** What was chosen for a gate, and how it verifies. */
function chosenGate<T extends Everything>(options: T, ...more: string[]): T {
  options = chosen(options, ...OF_BOTH, ...more);
  const { verify } = options;
  return Object.assign(options, {
    verify: verify && chosen(verify, "signers", "require", "maxAge", "maxValidity", "clockSkew", "allowMissingNonce"),
  });
}

function configure(gate: glue.Gate, options: Everything): void {
  const { verify } = options;
  if (verify !== undefined) {
    if (typeof verify.signers !== "function" && !Array.isArray(verify.signers)) {
      throw misuse("signers are a list of Signers, or a function that looks one up");
    }
    const signers = typeof verify.signers === "function" ? [] : verify.signers.map(String);
    const seconds = (value: number | undefined) => (value === undefined ? undefined : unsigned(value));
    gate.verify(
      signers,
      (verify.require ?? []).map(wellFormed),
      seconds(verify.maxAge),
      seconds(verify.maxValidity),
      seconds(verify.clockSkew),
      flag(verify.allowMissingNonce),
    );
  }
  for (const pattern of options.plain ?? []) gate.plain(wellFormed(pattern));
  for (const pattern of options.signedOnly ?? []) gate.signedOnly(wellFormed(pattern));
  for (const pattern of options.unsigned ?? []) gate.unsigned(wellFormed(pattern));
  for (const pattern of options.stream ?? []) gate.stream(wellFormed(pattern));
  if (flag(options.enforceIdempotencyKeys)) gate.enforceIdempotencyKeys();
  if (options.allowOrigins !== undefined) gate.allowOrigins(options.allowOrigins.map(webOrigin));
  if (options.passOuter !== undefined) gate.passOuter(options.passOuter.map(wellFormed));
  if (options.maxBody !== undefined) gate.maxBody(unsigned(options.maxBody));
  // With NaN nothing would be too large; more milliseconds a timer takes for none.
  unsigned(options.memory ?? 0);
  if (unsigned(options.bodyTimeout ?? 0) >= 1n << 31n) throw misuse("a body has at most 24 days");
  if (options.nextPins !== undefined) gate.nextPins(options.nextPins.map(String));
}

/** An origin as browsers say it. With a slash or a path at its end it would never be one. */
function webOrigin(origin: string): string {
  const { origin: said } = URL.canParse(wellFormed(origin)) ? new URL(origin) : { origin: undefined };
  // Of schemes that only some browsers know the origin is opaque here.
  if (said !== origin && !(said === "null" && /^[^/]+:\/\/[^/]+$/.test(origin))) {
    throw misuse("an origin of allowOrigins is scheme://host, without a slash or path at its end");
  }
  return origin;
}

/** Drives the module's gate with bodies, a clock, a replay cache and the memory there is. */
class Driver {
  readonly #gate: Held<glue.Gate>;
  readonly #lookUp: ((keyId: string) => Signer | undefined | null | Promise<Signer | undefined | null>) | undefined;
  readonly #replay: { readonly signed: ReplayCache; readonly unsigned: ReplayCache };
  readonly #bodyTimeout: number;
  readonly #observer: ((event: ServiceEvent) => void) | undefined;
  /** How many bytes bodies may hold now, all of them and those of strangers. */
  readonly #memory: { all: number; unsigned: number };

  constructor(gate: glue.Gate, options: Everything) {
    this.#gate = new Held(gate);
    const signers = options.verify?.signers;
    this.#lookUp = typeof signers === "function" ? signers : undefined;
    const { replay, replayUnsigned = replay } = options;
    this.#replay = { signed: replay ?? new MemoryReplayCache(), unsigned: replayUnsigned ?? new MemoryReplayCache() };
    this.#bodyTimeout = options.bodyTimeout ?? 30_000;
    this.#observer = options.observer;
    const memory = options.memory ?? 256 * 1024 * 1024;
    this.#memory = { all: memory, unsigned: memory / 2 };
  }

  free(): void {
    this.#gate.free();
  }

  async open(request: Request): Promise<Exchange | Response> {
    // Not by its class: frameworks have requests of their own.
    if (typeof request?.headers?.get !== "function" || typeof request.url !== "string") throw misuse("a request is a Request");
    const started = performance.now();
    const page = this.#pageFields(request.headers.get("origin"));
    const passage = new Held(await this.#enter(request));
    try {
      if (stateOf(passage) === "plain") {
        return bare({ request, seal: async (response: Response) => this.#served(response.status, started, () => withFields(response, page)) });
      }
      const reader = await this.#read(request.body, passage);
      while (stateOf(passage) === "remember") await this.#remember(passage);
      const admitted = stateOf(passage) === "admitted" ? this.#admit(request, passage, reader, started, page) : undefined;
      if (admitted !== undefined) return admitted;
      (reader ?? request.body)?.cancel().catch(ignore);
      return withFields(toResponse(this.#told(() => passage.object.answer(since(started))) as RawMessage), page);
    } finally {
      passage.free();
    }
  }

  /** Asks once more where somebody has to be looked up first. */
  async #enter(request: Request): Promise<glue.Passage> {
    const { url } = request;
    // Path and query as they stand: `URL` would drop a `?` with nothing behind it.
    const target = url.slice(url.indexOf("/", url.indexOf("://") + 3)).split("#", 1)[0] ?? "";
    const fields = flat(request.headers);
    const enter = (signer?: string) =>
      call(() => this.#gate.object.enter(request.method, target, fields, request.body !== null, signer, now()));
    const passage = enter();
    const asked = this.#lookUp && call(() => this.#gate.object.asked());
    if (this.#lookUp === undefined || asked === undefined) return passage;
    const entered = new Held(passage);
    let signer: Signer | undefined | null;
    try {
      signer = await this.#lookUp(asked);
    } catch (error) {
      entered.free();
      throw error;
    }
    // Whoever it was is unknown.
    if (!signer) return entered.object;
    entered.free();
    if (!(signer instanceof Signer)) throw misuse("what looks signers up gives a Signer of this copy of the package (Signer.parse), or nothing");
    return enter(String(signer));
  }

  /** Reads a body: all of it, or up to where the app may read on, with the reader that is given then. */
  async #read(
    body: ReadableStream<Uint8Array> | null,
    passage: Held<glue.Passage>,
  ): Promise<ReadableStreamDefaultReader<Uint8Array> | undefined> {
    if (stateOf(passage) !== "body") return undefined;
    if (body === null) {
      call(() => passage.object.finish(now()));
      return undefined;
    }
    const reader = body.getReader();
    let slow = false;
    const timer = setTimeout(() => {
      slow = true;
      reader.cancel().catch(ignore);
    }, this.#bodyTimeout);
    const memory = this.#memory;
    const isSigned = call(() => passage.object.isSigned());
    let held = 0;
    const hold = (length: number) => {
      held += length;
      memory.all -= length;
      if (!isSigned) memory.unsigned -= length;
    };
    try {
      while (stateOf(passage) === "body") {
        const piece = await reader.read().catch(() => undefined);
        if (slow) call(() => passage.object.refuse("slow"));
        else if (piece?.done) {
          call(() => passage.object.finish(now()));
          return undefined;
        } else if (!(piece?.value instanceof Uint8Array)) call(() => passage.object.refuse("broken"));
        else if (piece.value.length > (isSigned ? memory.all : Math.min(memory.all, memory.unsigned))) call(() => passage.object.refuse("memory"));
        else {
          hold(piece.value.length);
          call(() => passage.object.push(piece.value, now()));
        }
      }
      return reader;
    } finally {
      clearTimeout(timer);
      hold(-held);
    }
  }

  async #remember(passage: Held<glue.Passage>): Promise<void> {
    const [id, made, until, isSigned] = call(() => passage.object.remember()) as [Uint8Array, bigint, bigint, boolean];
    const replay = isSigned ? this.#replay.signed : this.#replay.unsigned;
    let fresh = false;
    let failure: string | undefined;
    try {
      fresh = (await replay.insert(id, Number(made), Number(until), Number(now()))) === true;
    } catch (error) {
      failure = error instanceof SealwireError ? error.code : "Store";
    }
    call(() => passage.object.inserted(fresh, failure, now()));
  }

  /** What the app gets; `undefined` if there is no request that says it, and then there is an answer. */
  #admit(
    outer: Request,
    passage: Held<glue.Passage>,
    reader: ReadableStreamDefaultReader<Uint8Array> | undefined,
    started: number,
    page: RawFields,
  ): Exchange | undefined {
    const [method, url, fields] = call(() => passage.object.head()) as [string, string, RawFields];
    const content = call(() => passage.object.content());
    const isSealed = call(() => passage.object.isSealed());
    const signer = call(() => passage.object.signer());
    let rest: Held<glue.ContentOpening> | undefined;
    const bodyless = content.length === 0 && (method === "GET" || method === "HEAD");
    const body = reader !== undefined ? opening(reader, content, () => rest, this.#bodyTimeout) : bodyless ? null : content;
    let request: Request;
    try {
      request = new Request(isSealed ? url : outer.url, {
        method,
        headers: isSealed ? headersOf(fields) : outer.headers,
        signal: outer.signal,
        ...(body === null ? {} : { body: body as BodyInit, duplex: "half" }),
      } as RequestInit);
    } catch {
      call(() => passage.object.refuse("request"));
      return undefined;
    }
    const admission = new Held(this.#told(() => passage.object.admit(since(started))));
    const left = call(() => admission.object.rest());
    if (left !== undefined) rest = new Held(left);
    if (!isSealed) admission.free();
    let answered = false;
    const seal = async (response: Response) => {
      if (answered) throw misuse("a request has one answer");
      answered = true;
      return this.#served(response.status, started, async () =>
        withFields(isSealed ? await sealed(method === "HEAD" ? headOf(response) : response, admission) : response, page),
      );
    };
    return bare({ request, ...(signer === undefined ? {} : { signer: makeSigner(signer) }), seal });
  }

  async #served(status: number, started: number, answer: () => Response | Promise<Response>): Promise<Response> {
    const response = await answer();
    if (this.#gate.isAlive) this.#told(() => this.#gate.object.tellServed(status, since(started)));
    return response;
  }

  #pageFields(origin: string | null): RawFields {
    return call(() => this.#gate.object.pageFields(origin ?? undefined)) as RawFields;
  }

  /** Tells the observer what `step` has told. */
  #told<T>(step: () => T): T {
    const result = call(step);
    const events = call(() => this.#gate.object.events()) as RawEvent[];
    for (const event of events) tell(this.#observer, eventOf(event));
    return result;
  }
}

/** Names and values in turn. */
type RawFields = string[];
type RawMessage = [status: number, fields: RawFields, body: Uint8Array, sealing?: glue.BodySealing];
type RawEvent = [ServiceEvent["operation"], string, string, bigint, bigint, number | undefined];

/** A request's content, opened while it arrives: `content` is what has been opened of it. Its end is only seen if nothing was cut off. */
function opening(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  content: Uint8Array,
  opener: () => Held<glue.ContentOpening> | undefined,
  patience: number,
): ReadableStream<Uint8Array> {
  const step = (piece: Uint8Array | undefined) => {
    const opening = opener();
    if (opening === undefined) throw misuse("it is not let in");
    return call(() => (piece === undefined ? opening.object.finish(now()) : opening.object.push(piece, now())));
  };
  return passed(content, reader, () => inTime(reader.read(), patience), step, () => opener()?.free());
}

/** What `reader` gives, which ends with whoever reads it. */
function passed(
  front: Uint8Array,
  reader: ReadableStreamDefaultReader<Uint8Array>,
  read: () => Promise<ReadableStreamReadResult<Uint8Array>>,
  step: (piece: Uint8Array | undefined) => Uint8Array,
  free: () => void,
): ReadableStream<Uint8Array> {
  const next = async () => {
    const { done, value } = await read();
    return done ? undefined : bytes(value);
  };
  return passing(front, next, step, (reason) => {
    free();
    reader.cancel(reason).catch(ignore);
    return reason;
  });
}

/** The app's answer as it is sent. */
async function sealed(response: Response, admission: Held<glue.Admission>): Promise<Response> {
  const fields = flat(response.headers);
  try {
    const { status, body } = response;
    // What was read before, or is being read, is not there to be sealed.
    const isThere = !response.bodyUsed && !body?.locked;
    if (isThere && call(() => admission.object.isStreamed())) {
      const [outer, outerFields, front, raw] = call(() => admission.object.stream(status, fields)) as RawMessage;
      if (raw === undefined) {
        body?.cancel().catch(ignore);
        return toResponse([outer, outerFields, front]);
      }
      const sealing = new Held(raw);
      const step = (piece: Uint8Array | undefined) =>
        call(() => (piece === undefined ? sealing.object.finish() : sealing.object.push(piece)));
      const reader = (body ?? new Response("").body!).getReader();
      const stream = passed(front, reader, () => reader.read(), step, () => sealing.free());
      return new Response(stream as BodyInit, { status: outer, headers: headersOf(outerFields) });
    }
    // Of an answer without a head that can be sealed nothing is waited for: it may have no end.
    const whole = isThere && call(() => admission.object.fits(status, fields)) ? await collected(body) : undefined;
    if (whole === undefined) {
      body?.cancel().catch(ignore);
      return toResponse(call(() => admission.object.seal(500, [], new Uint8Array())) as RawMessage);
    }
    return toResponse(call(() => admission.object.seal(status, fields, whole)) as RawMessage);
  } finally {
    admission.free();
  }
}

/** What `app` answers, if it is asked. If it fails, nobody reads on. */
async function answered(
  opened: Exchange | Response,
  app: (request: Request, signer: Signer | undefined) => Response | Promise<Response>,
): Promise<Response> {
  if (opened instanceof Response) return opened;
  try {
    return await opened.seal(await app(opened.request, opened.signer));
  } catch (error) {
    opened.request.body?.cancel(error).catch(ignore);
    throw error;
  }
}

/** An answer to HEAD has no body, whatever the app gives. */
function headOf(response: Response): Response {
  response.body?.cancel().catch(ignore);
  const { status, headers } = response;
  return new Response(null, { status, headers });
}

/** All of a body; `undefined` if it fails or is too large. */
async function collected(body: ReadableStream<Uint8Array> | null): Promise<Uint8Array | undefined> {
  if (body === null) return new Uint8Array();
  const reader = body.getReader();
  const pieces: Uint8Array[] = [];
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      // An app may put anything into a stream of its own.
      pieces.push(bytes(value));
      length += value.length;
      if (length > MAX_RESPONSE) {
        reader.cancel().catch(ignore);
        return undefined;
      }
    }
  } catch {
    return undefined;
  } finally {
    reader.releaseLock();
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** What comes, if it comes in so many milliseconds. */
async function inTime<T>(coming: Promise<T>, patience: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new SealwireError("Network", "network failed: a body was too slow")), patience);
  });
  try {
    return await Promise.race([coming, late]);
  } finally {
    clearTimeout(timer);
  }
}

function toResponse([status, fields, body]: RawMessage): Response {
  return new Response(body.length === 0 ? null : (body as BodyInit), { status, headers: headersOf(fields) });
}

/** A `vary` more, the others in the place of the app's own. */
function withFields(response: Response, fields: RawFields): Response {
  if (fields.length === 0) return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of pairs(fields)) {
    if (name === "vary") headers.append(name, value);
    else headers.set(name, value);
  }
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}

function headersOf(fields: RawFields): Headers {
  const headers = new Headers();
  for (const [name, value] of pairs(fields)) headers.append(name, value);
  return headers;
}

function* pairs(fields: RawFields): Generator<[string, string]> {
  for (let at = 0; at + 1 < fields.length; at += 2) yield [fields[at]!, fields[at + 1]!];
}

function flat(headers: Headers): RawFields {
  return [...headers].flat();
}

function eventOf([operation, code, protection, size, micros, keyId]: RawEvent): ServiceEvent {
  const duration = Number(micros) / 1000;
  return { operation, code, protection, size: Number(size), duration, ...(keyId === undefined ? {} : { keyId }) };
}

function stateOf(passage: Held<glue.Passage>): string {
  return call(() => passage.object.state());
}

function now(): bigint {
  return BigInt(Math.floor(Date.now() / 1000));
}

function since(started: number): bigint {
  return BigInt(Math.max(0, Math.round((performance.now() - started) * 1000)));
}

function wiping<T>(secret: Uint8Array, use: () => T): T {
  try {
    return use();
  } finally {
    secret.fill(0);
  }
}

function ignore(): void {}
