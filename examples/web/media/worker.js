// A service worker that plays sealed media: <video src="/media/…"> asks it for ranges, it fetches the sealed chunks of just these ranges.
// The server stores /sealed/… and answers Range requests; it never sees a frame.

import { Identity, SealContext, SealedBlob } from "./node_modules/sealwire/dist/esm/browser.js";

/** Whom a reader believes, and where the key comes from, is the app's business: here the page tells it once. */
let me;
const opened = new Map();

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("message", ({ data, ports }) => {
  me = Identity.parse(data.identity);
  me.then(() => "ready", (error) => error.code).then((said) => ports[0].postMessage(said));
});

addEventListener("fetch", (event) => {
  const { pathname } = new URL(event.request.url);
  if (pathname.startsWith("/media/")) event.respondWith(play(pathname.slice("/media/".length), event.request));
});

async function play(name, request) {
  if (!opened.has(name)) opened.set(name, openSealed(name));
  const media = await opened.get(name);
  const [start, end] = wanted(request.headers.get("range"), media.size);
  return new Response(media.stream(start, end), {
    status: request.headers.has("range") ? 206 : 200,
    headers: {
      "accept-ranges": "bytes",
      "content-length": String(end - start),
      "content-range": `bytes ${start}-${end - 1}/${media.size}`,
      "content-type": media.about.contentType ?? "application/octet-stream",
    },
  });
}

/** The context is the stable name, not the URL. */
async function openSealed(name) {
  const url = `/sealed/${name}`;
  const size = Number((await fetch(url, { method: "HEAD" })).headers.get("content-length"));
  const read = async (start, end) => {
    const response = await fetch(url, { headers: { range: `bytes=${start}-${end - 1}` } });
    if (response.status !== 206) throw new Error("the server does not answer Range requests");
    return response.arrayBuffer();
  };
  return SealedBlob.open({ size, read }, await me, new SealContext("media", name));
}

/** `bytes=a-b`, `bytes=a-` or nothing. */
function wanted(range, size) {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? "bytes=0-") ?? [undefined, "0", ""];
  const start = Math.min(Number(first), size);
  return [start, last === "" ? size : Math.min(Number(last) + 1, size)];
}
