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
  const media = await opened.get(name).catch((error) => {
    // The next one tries again.
    opened.delete(name);
    throw error;
  });
  const [status, start, end] = wanted(request.headers.get("range"), media.size);
  // The type is the sealer's word, and who opens the URL as a page must not run what somebody has sealed.
  const type = media.about.contentType ?? "";
  const headers = new Headers({
    "accept-ranges": "bytes",
    "content-length": String(end - start),
    "content-type": /^(audio|video)\/[\w.+-]+$/.test(type) ? type : "application/octet-stream",
    "x-content-type-options": "nosniff",
  });
  if (status !== 200) headers.set("content-range", status === 206 ? `bytes ${start}-${end - 1}/${media.size}` : `bytes */${media.size}`);
  return new Response(status === 416 ? null : media.stream(start, end), { status, headers });
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

/** `bytes=a-b`, `bytes=a-` or `bytes=-n`, with the status that answers it; of several ranges, or none, all of it. */
function wanted(range, size) {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(range ?? "") ?? [undefined, "", ""];
  if (first === "" && last === "") return [200, 0, size];
  if (first !== "" && last !== "" && Number(last) < Number(first)) return [200, 0, size];
  const start = first === "" ? Math.max(size - Number(last), 0) : Number(first);
  const end = first === "" || last === "" ? size : Math.min(Number(last) + 1, size);
  return start < end ? [206, start, end] : [416, 0, 0];
}
