// An Express app behind Sealwire:
//
//     ORIGIN=http://127.0.0.1:8080 SIGNERS=<hex>,<hex> node express.mjs
//
// PAGES are the origins whose pages may call it from browsers.

import { createServer } from "node:http";
import express from "express";
import { fromListener, toListener } from "sealwire/node";
import { notesService } from "./service.mjs";

const origin = process.env.ORIGIN ?? "http://127.0.0.1:8080";
const { service, pin } = await notesService(origin, {
  folder: process.env.KEYS ?? "keys",
  signers: (process.env.SIGNERS ?? "").split(",").filter(Boolean),
  pages: (process.env.PAGES ?? "").split(",").filter(Boolean),
});

const notes = new Map();
const app = express();
app.use(express.text({ type: () => true }));
app.get("/health", (_request, response) => response.type("text").send("well"));
app.put("/notes/:id", (request, response) => {
  notes.set(request.params.id, { text: request.body, by: request.signer.toString() });
  response.status(204).end();
});
app.get("/notes/:id", (request, response) => {
  const note = notes.get(request.params.id);
  if (note) response.json(note);
  else response.status(404).end();
});

const inner = fromListener(app);
createServer(toListener((request) => service.handle(request, inner))).listen(Number(new URL(origin).port), "127.0.0.1", () => {
  console.log(`${origin} ${pin}`);
});
