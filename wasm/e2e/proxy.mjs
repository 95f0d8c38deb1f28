// A proxy between the browser and everything, as a hostile network: it passes on what it does not change.

import http from "node:http";

/** Starts it. `change` may be set to a function of the URL and the exchange, and back to `undefined`. */
export async function startProxy() {
  const proxy = { change: undefined };
  const server = http.createServer(async (incoming, outgoing) => {
    // Browsers call home, too.
    if (!incoming.url.startsWith("http://127.0.0.1:")) return outgoing.writeHead(403).end();
    const chunks = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const call = { method: incoming.method, url: new URL(incoming.url), headers: incoming.headers, body: Buffer.concat(chunks) };
    const change = proxy.change?.(call) ?? {};
    change.request?.(call);
    const answer = await send(call);
    change.answer?.(answer);
    // Lengths may have changed.
    for (const name of ["content-length", "transfer-encoding", "connection"]) delete answer.headers[name];
    outgoing.writeHead(answer.status, answer.headers);
    outgoing.end(answer.body);
  });
  server.on("connect", (_, socket) => socket.end("HTTP/1.1 403 Forbidden\r\n\r\n"));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  proxy.address = `http://127.0.0.1:${server.address().port}`;
  proxy.stop = () => server.close();
  return proxy;
}

function send({ method, url, headers, body }) {
  return new Promise((resolve, reject) => {
    const kept = { ...headers, "content-length": body.length };
    for (const name of ["proxy-connection", "connection", "transfer-encoding"]) delete kept[name];
    const request = http.request(url, { method, headers: kept }, async (response) => {
      const chunks = [];
      for await (const chunk of response) chunks.push(chunk);
      resolve({ status: response.statusCode, headers: { ...response.headers }, body: Buffer.concat(chunks) });
    });
    request.on("error", reject);
    request.end(body);
  });
}
