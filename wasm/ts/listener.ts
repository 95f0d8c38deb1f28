// Between Node's `http` and web-standard Request and Response, both ways: for `http.createServer`, and for apps that are Node listeners, such
// as Express'.

import { IncomingMessage, type RequestListener, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import type { Signer } from "./recipient.js";

declare global {
  // Where Express' types look for what others add.
  namespace Express {
    interface Request {
      /** Who signed the request, if the service verified it. */
      readonly signer?: Signer;
    }
  }
}

/** What answers requests. */
export type WebHandler = (request: Request) => Response | Promise<Response>;

/**
 * Lets `handler` answer the requests of a Node server.
 *
 * The request's URL has the origin `http://localhost`, whatever its `Host` says, since that decides nothing. A body of a GET or HEAD is left
 * unread. The request's signal is aborted when the client goes away; an answer whose body fails is broken off. What `handler` throws is
 * answered with an empty 500, and given to `report` (which writes it to `console.error` unless told otherwise).
 *
 * ```ts
 * createServer(toListener((request) => service.handle(request, app.fetch))).listen(8080);
 * ```
 */
export function toListener(handler: WebHandler, report: (error: unknown) => void = console.error): RequestListener {
  return (incoming, outgoing) => {
    const gone = new AbortController();
    outgoing.on("close", () => {
      if (!outgoing.writableFinished) gone.abort();
    });
    const answer = async () => {
      let request: Request;
      try {
        request = toRequest(incoming, gone.signal);
      } catch {
        return new Response(null, { status: 400 });
      }
      return handler(request);
    };
    answer()
      .catch((error: unknown) => {
        report(error);
        return new Response(null, { status: 500 });
      })
      .then((response) => send(response, outgoing, incoming.method === "HEAD"))
      .catch((error: unknown) => {
        report(error);
        outgoing.destroy();
      });
  };
}

/**
 * Lets a Node listener, such as an Express app, answer web-standard requests: what {@link Service.handle} hands on. The request that it gets has
 * `signer` as a property, and no peer: what a gateway says of the client comes with `passOuter`. What the listener throws, or rejects with, fails
 * the answer.
 *
 * ```ts
 * const app = express();
 * createServer(toListener((request) => service.handle(request, fromListener(app)))).listen(8080);
 * ```
 */
export function fromListener(listener: RequestListener): (request: Request, signer?: Signer) => Promise<Response> {
  return (request, signer) =>
    new Promise((resolve, reject) => {
      const wire = new Wire(request.method === "HEAD", resolve, reject);
      const incoming = toIncoming(request, wire);
      if (signer !== undefined) Object.assign(incoming, { signer });
      const outgoing = new ServerResponse(incoming);
      // What is written is the body as it stands, also if the app names a coding.
      outgoing.useChunkedEncodingByDefault = false;
      Object.defineProperty(outgoing, "chunkedEncoding", { get: () => false, set() {} });
      outgoing.shouldKeepAlive = false;
      outgoing.assignSocket(wire as unknown as Socket);
      outgoing.on("finish", () => wire.finished());
      // Else it is the server that passes this on.
      wire.on("drain", () => outgoing.emit("drain"));
      const broken = (error: unknown) => {
        reject(error);
        wire.fail(error);
        incoming.destroy();
      };
      // Who destroys an answer tells the socket why, and nobody but this one listens there.
      wire.on("error", broken);
      const { signal } = request;
      outgoing.on("close", () => {
        if (!outgoing.writableFinished) broken(signal.reason ?? new Error("the app broke its answer off"));
      });
      const gone = () => {
        outgoing.destroy();
        broken(signal.reason);
      };
      signal.addEventListener("abort", gone);
      // Who went away before is not heard of again.
      if (signal.aborted) return gone();
      const run = async () => listener(incoming, outgoing as ServerResponse & { req: IncomingMessage });
      run().catch((error: unknown) => {
        // There is no answer left that could fail: it is nobody's but the process's, as in a server of Node's.
        if (outgoing.writableEnded) throw error;
        broken(error);
      });
    });
}

function toRequest(incoming: IncomingMessage, signal: AbortSignal): Request {
  const { method = "GET", url = "/", rawHeaders } = incoming;
  if (!url.startsWith("/")) throw new TypeError("no path");
  const isBodyless = method === "GET" || method === "HEAD";
  const headers = new Headers();
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!.toLowerCase();
    // Of a body that is left out nothing may say that it is there: whoever forwards the request would frame it wrongly.
    if (!name.startsWith(":") && name !== "transfer-encoding" && !(isBodyless && name === "content-length")) headers.append(name, rawHeaders[at + 1]!);
  }
  const { "content-length": length, "transfer-encoding": coding } = incoming.headers;
  // HTTP/2 has its own way to say that nothing follows.
  const { stream } = incoming as { stream?: { readonly endAfterHeaders: boolean } };
  const isThere = stream === undefined ? coding !== undefined || length !== undefined : !stream.endAfterHeaders;
  const hasBody = !isBodyless && isThere && length !== "0";
  const body = hasBody ? { body: bodyOf(incoming), duplex: "half" } : {};
  return new Request(`http://localhost${url}`, { method, headers, signal, ...body } as RequestInit);
}

/**
 * What comes, as it is asked for; what nobody wants any more is let pass. Not `Readable.toWeb`, which ends the process if a body is cancelled while
 * the next piece of it is on its way.
 */
function bodyOf(incoming: IncomingMessage): ReadableStream<Uint8Array> {
  let over = false;
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const broken = (error: unknown) => {
          over = true;
          controller.error(error);
        };
        incoming.pause();
        incoming.on("data", (piece: Buffer) => {
          if (over) return;
          incoming.pause();
          controller.enqueue(new Uint8Array(piece));
        });
        incoming.on("end", () => {
          if (!over) controller.close();
          over = true;
        });
        incoming.on("error", broken);
        incoming.on("close", () => broken(new Error("the body broke off")));
      },
      pull() {
        incoming.resume();
      },
      cancel() {
        over = true;
        incoming.resume();
      },
    },
    { highWaterMark: 0 },
  );
}

async function send(response: Response, outgoing: ServerResponse, isHead: boolean): Promise<void> {
  // Nobody is there any more, and nothing else would tell the body.
  if (outgoing.destroyed) return void response.body?.cancel().catch(() => {});
  const fields: [string, string][] = [...response.headers];
  const cookies = fields.filter(([name]) => name === "set-cookie").map(([, value]) => value);
  for (const [name, value] of fields) if (name !== "set-cookie") outgoing.setHeader(name, value);
  if (cookies.length > 0) outgoing.setHeader("set-cookie", cookies);
  outgoing.statusCode = response.status;
  if (response.body === null || isHead) {
    outgoing.end();
    return void response.body?.cancel().catch(() => {});
  }
  const reader = response.body.getReader();
  outgoing.on("close", () => {
    reader.cancel().catch(() => {});
  });
  outgoing.flushHeaders();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done || outgoing.destroyed) break;
      // An app may put anything into a stream of its own.
      if (!(value instanceof Uint8Array)) throw new TypeError("a body is made of Uint8Arrays");
      if (!outgoing.write(value)) await roomIn(outgoing);
    }
    outgoing.end();
  } catch (error) {
    reader.cancel(error).catch(() => {});
    // Broken off, so that nobody takes it for whole.
    outgoing.destroy();
  }
}

/** Until more may be written, or nobody is there any more. */
function roomIn(outgoing: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      outgoing.off("drain", go).off("close", go);
      resolve();
    };
    outgoing.on("drain", go).on("close", go);
  });
}

function toIncoming(request: Request, wire: Wire): IncomingMessage {
  const incoming = new IncomingMessage(wire as unknown as Socket);
  const { pathname, search } = new URL(request.url);
  incoming.method = request.method;
  incoming.url = pathname + search;
  incoming.httpVersion = "1.1";
  incoming.httpVersionMajor = 1;
  incoming.httpVersionMinor = 1;
  for (const [name, value] of request.headers) {
    incoming.rawHeaders.push(name, value);
    incoming.headers[name] = name === "set-cookie" ? [value] : value;
  }
  const reader = request.body?.getReader();
  // What says to Node's body parsers that there is one.
  if (reader !== undefined && incoming.headers["content-length"] === undefined) {
    incoming.rawHeaders.push("transfer-encoding", "chunked");
    incoming.headers["transfer-encoding"] = "chunked";
  }
  // Node asks once, as long as there is room, as it does with a real socket.
  let isReading = false;
  const readOn = async () => {
    if (isReading) return;
    isReading = true;
    try {
      for (;;) {
        const piece = reader && (await reader.read());
        if (piece === undefined || piece.done) {
          incoming.complete = true;
          incoming.push(null);
          return;
        }
        if (!incoming.push(piece.value)) break;
      }
    } catch (error) {
      incoming.destroy(error instanceof Error ? error : new Error(String(error)));
    }
    isReading = false;
  };
  incoming._read = () => void readOn();
  incoming._destroy = (error, callback) => {
    reader?.cancel(error).catch(() => {});
    // As Node's own: an app that does not listen is not told, and does not end the process.
    callback(incoming.listenerCount("error") > 0 ? error : null);
  };
  return incoming;
}

/** In the place of a socket: makes a Response of what a `ServerResponse` writes. */
class Wire extends Duplex {
  readonly #isHead: boolean;
  readonly #resolve: (response: Response) => void;
  readonly #reject: (error: unknown) => void;
  /** What has come of the head. */
  #front: string | undefined = "";
  #body: ReadableStreamDefaultController<Uint8Array> | undefined;
  /** Called when the body is wanted again. */
  #go: (() => void) | undefined;

  constructor(isHead: boolean, resolve: (response: Response) => void, reject: (error: unknown) => void) {
    // A head comes as text, each character a byte, whatever encoding goes with it.
    super({ decodeStrings: false });
    this.#isHead = isHead;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  finished(): void {
    try {
      this.#body?.close();
    } catch {
      // It was cancelled.
    }
    this.#body = undefined;
  }

  fail(error: unknown): void {
    this.#body?.error(error);
    this.#body = undefined;
    this.destroy();
  }

  override _read(): void {}

  // What apps ask of a socket: there is none whose time could run out.
  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    let rest: Buffer | string;
    try {
      rest = this.#front === undefined ? chunk : this.#head(chunk);
    } catch (error) {
      // A head that Node writes and a Response does not have: thrown here it would come out wherever the app writes.
      this.#reject(error);
      this.fail(error);
      return done();
    }
    const body = typeof rest === "string" ? Buffer.from(rest, encoding) : rest;
    if (this.#body === undefined || body.length === 0) return done();
    this.#body.enqueue(Uint8Array.from(body));
    if ((this.#body.desiredSize ?? 0) > 0) done();
    else this.#go = done;
  }

  /** Takes the head, and gives what is behind it. */
  #head(chunk: Buffer | string): string {
    let front = (this.#front ?? "") + (typeof chunk === "string" ? chunk : chunk.toString("latin1"));
    for (;;) {
      const end = front.indexOf("\r\n\r\n");
      if (end < 0) {
        this.#front = front;
        return "";
      }
      const [line = "", ...fields] = front.slice(0, end).split("\r\n");
      front = front.slice(end + 4);
      const status = Number(line.split(" ")[1]);
      // What is said before the answer ("early hints") stays here; another protocol is none.
      if (status < 200 && status !== 101) continue;
      this.#front = undefined;
      const headers = new Headers();
      for (const field of fields) {
        const colon = field.indexOf(":");
        const name = field.slice(0, colon).toLowerCase();
        if (!["connection", "keep-alive", "transfer-encoding"].includes(name)) headers.append(name, field.slice(colon + 1).trim());
      }
      const isEmpty = this.#isHead || status === 204 || status === 205 || status === 304;
      this.#resolve(new Response(isEmpty ? null : this.#stream(), { status, headers }));
      return isEmpty ? "" : front;
    }
  }

  #stream(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#body = controller;
      },
      pull: () => {
        const go = this.#go;
        this.#go = undefined;
        go?.();
      },
      cancel: () => {
        this.#body = undefined;
        this.#go?.();
        this.destroy();
      },
    });
  }
}
