// A Hono app behind Sealwire:
//
//     ORIGIN=http://127.0.0.1:8080 SIGNERS=<hex>,<hex> node hono.mjs
//
// PAGES are the origins whose pages may call it from browsers.
//
// Elsewhere (Workers, Deno, Bun) the same line is the whole of it: `fetch: (request) => service.handle(request, …)`.

import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { notesService } from "./service.mjs";

const origin = process.env.ORIGIN ?? "http://127.0.0.1:8080";
const { service, pin } = await notesService(origin, {
  folder: process.env.KEYS ?? "keys",
  signers: (process.env.SIGNERS ?? "").split(",").filter(Boolean),
  pages: (process.env.PAGES ?? "").split(",").filter(Boolean),
});

const notes = new Map();
const app = new Hono();
app.get("/health", (c) => c.text("well"));
app.put("/notes/:id", async (c) => {
  notes.set(c.req.param("id"), { text: await c.req.text(), by: c.env.signer.toString() });
  return c.body(null, 204);
});
app.get("/notes/:id", (c) => {
  const note = notes.get(c.req.param("id"));
  return note ? c.json(note) : c.notFound();
});

const fetch = (request) => service.handle(request, (inner, signer) => app.fetch(inner, { signer }));
serve({ fetch, hostname: "127.0.0.1", port: Number(new URL(origin).port) }, () => console.log(`${origin} ${pin}`));
