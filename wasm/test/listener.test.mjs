// Node listeners in front and behind, with strangers who go away or break off, and apps that make mistakes. An uncaught error fails every test here.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect as connectHttp2, createServer as createHttp2 } from "node:http2";
import { connect } from "node:net";
import { Readable, pipeline } from "node:stream";
import { test } from "node:test";
import { Identity, sealedFetch } from "sealwire";
import { fromListener, toListener } from "sealwire/node";
import { ServiceKeys, createService } from "sealwire/server";

const request = (init) => new Request("http://localhost/x", init);
const turn = () => new Promise((resolve) => setTimeout(resolve, 20));

/** A promise and its end. */
function later() {
  let resolve;
  const promise = new Promise((go) => (resolve = go));
  return { promise, resolve };
}

/** What `listener` answers to bytes as they are, with the client's connection. */
async function served(t, listener, head) {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const client = connect(server.address().port, "127.0.0.1");
  client.on("error", () => {});
  client.write(head.join("\r\n") + "\r\n\r\n");
  return client;
}

test("the body of an answer that comes too late for its client is cancelled", async (t) => {
  const [asked, gone, cancelled] = [later(), later(), later()];
  const client = await served(t, toListener(async ({ signal }) => {
    signal.addEventListener("abort", gone.resolve);
    asked.resolve();
    await gone.promise;
    return new Response(new ReadableStream({ pull: () => new Promise(() => {}), cancel: cancelled.resolve }));
  }), ["GET / HTTP/1.1", "host: x"]);
  await asked.promise;
  client.destroy();
  await cancelled.promise;
});

test("the answer to HEAD ends at its head, whatever body it has", async (t) => {
  const cancelled = later();
  const endless = () => new Response(new ReadableStream({ pull: (to) => to.enqueue(new Uint8Array(1000)), cancel: cancelled.resolve }));
  const client = await served(t, toListener((request) => (request.method === "HEAD" ? endless() : new Response("next"))), ["HEAD / HTTP/1.1", "host: x"]);
  await cancelled.promise;
  client.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  let answers = "";
  for await (const piece of client) if ((answers += piece).endsWith("next") || answers.includes("\r\nnext\r\n")) break;
  assert.equal(answers.match(/HTTP\/1.1 200/g).length, 2);
});

test("nothing says that there is a body where it is left out", async (t) => {
  const seen = later();
  await served(t, toListener((request) => (seen.resolve(request), new Response())), ["GET / HTTP/1.1", "host: x", "content-length: 5", "", "hello"]);
  const { headers, body } = await seen.promise;
  assert.deepEqual([headers.get("content-length"), body], [null, null]);
});

test("a body may be cancelled at any time, and the connection goes on", async (t) => {
  const kinds = {
    "at once": async ({ body }) => body.cancel(),
    "in a later task": async ({ body }) => {
      await turn();
      await body.cancel();
    },
    "after a piece": async ({ body }) => {
      const reader = body.getReader();
      await reader.read();
      await reader.cancel();
    },
    "while it is read": async ({ body }) => {
      const reader = body.getReader();
      await reader.read();
      const next = reader.read();
      await reader.cancel();
      await next;
    },
    "never": () => {},
  };
  for (const [what, cancels] of Object.entries(kinds)) {
    const answers = toListener(async (request) => {
      if (request.body === null) return new Response("the end");
      await cancels(request);
      return new Response("x");
    });
    const post = (size) => `POST / HTTP/1.1\r\nhost: x\r\ncontent-length: ${size}\r\n\r\n${"y".repeat(size)}`;
    const client = await served(t, answers, [`${[1, 70_000, 300_000].map(post).join("")}GET / HTTP/1.1`, "host: x"]);
    let got = "";
    for await (const piece of client) if ((got += piece).includes("the end")) break;
    assert.equal(got.match(/HTTP\/1.1 200/g).length, 4, what);
  }
});

test("a stranger's body that breaks off, and an app that does not listen for errors, end no process", async () => {
  const closed = later();
  const app = fromListener((incoming, outgoing) => {
    incoming.on("data", () => {});
    incoming.on("close", closed.resolve);
    incoming.on("close", () => outgoing.end("it was cut"));
  });
  const origin = "https://api.example.com";
  const identity = await Identity.generate({ kem: "X25519" });
  const service = await createService({ origin, keys: await ServiceKeys.generate({ kem: "X25519" }), identity, stream: ["/{rest..}"] });
  const policy = { services: { [origin]: { pins: [identity.recipient.pin] } }, rules: [{ origin, path: "/{rest..}", exchange: true, streamed: true }] };
  const fetch = async (url, init) => {
    const body = new Uint8Array(await new Response(init.body).arrayBuffer());
    return service.handle(new Request(url, { ...init, ...(body.length > 0 && { body: body.subarray(0, -10) }) }), app);
  };
  const answer = await sealedFetch(policy, { fetch })(`${origin}/x`, { method: "POST", body: new Uint8Array(50_000) });
  assert.equal(await answer.text(), "it was cut");
  await closed.promise;
});

test("what an app breaks off fails its answer alone", async () => {
  const disk = new Error("the disk is gone");
  const failing = () => new Readable({ read() { setImmediate(() => this.destroy(disk)); } });
  await assert.rejects(fromListener((_, outgoing) => void pipeline(failing(), outgoing, () => {}))(request()), (error) => error === disk);
  await assert.rejects(fromListener((_, outgoing) => void outgoing.destroy(disk))(request()), (error) => error === disk);
  await assert.rejects(fromListener(async () => { throw disk; })(request()), (error) => error === disk);
  const late = await fromListener(async (_, outgoing) => {
    outgoing.write("half");
    await turn();
    throw disk;
  })(request());
  await assert.rejects(late.text(), (error) => error === disk);
  const destroyed = fromListener((incoming, outgoing) => {
    incoming.destroy(disk);
    outgoing.end("fine");
  });
  assert.equal(await (await destroyed(request({ method: "POST", body: "x" }))).text(), "fine");
});

test("who went away before the app was asked is not waited for", async () => {
  let cancelled;
  const body = new ReadableStream({ pull: () => new Promise(() => {}), cancel: () => void (cancelled = true) });
  const gone = request({ method: "POST", body, duplex: "half", signal: AbortSignal.abort() });
  await assert.rejects(fromListener(() => assert.fail("asked"))(gone), { name: "AbortError" });
  assert.ok(cancelled);
});

test("over HTTP/2 a body needs no length", async (t) => {
  const server = createHttp2(toListener(async (request) => new Response(`${request.method} ${request.body !== null} ${await request.text()}`)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connectHttp2(`http://127.0.0.1:${server.address().port}`);
  t.after(() => (client.destroy(), server.close()));
  const answer = async (method, body, fields) => {
    const asked = client.request({ ":method": method, ":path": "/x", ...fields }, { endStream: body === undefined });
    if (body !== undefined) asked.end(body);
    let text = "";
    for await (const piece of asked) text += piece;
    return text;
  };
  assert.equal(await answer("POST", "streamed"), "POST true streamed");
  assert.equal(await answer("POST", "text", { "content-length": "4" }), "POST true text");
  assert.equal(await answer("POST"), "POST false ");
  assert.equal(await answer("GET"), "GET false ");
});

test("an app that names the chunked coding writes its body as it is", async () => {
  const answer = await fromListener((_, outgoing) => {
    outgoing.setHeader("transfer-encoding", "chunked");
    outgoing.write("a ");
    outgoing.end("body");
  })(request());
  assert.deepEqual([await answer.text(), answer.headers.get("transfer-encoding")], ["a body", null]);
});
