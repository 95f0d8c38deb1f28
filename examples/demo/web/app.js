// The page: one person's window, what the server holds beside it, and what the server could do.

import { $, button, count, face, make, proper } from "./dom.js";
import { Hostile } from "./hostile.js";
import { Person, codeOf } from "./sealed.js";
import { rowsView } from "./rows.js";
import * as server from "./server.js";

const PEOPLE = ["alice", "bob", "carol"];
const POLL = 2500;

const me = new URLSearchParams(location.search).get("me");
/** @type {Person} */
let person;
let notes = [];
let rows = [];
let hostile;
let queue = Promise.resolve();
/** Opened pictures, by note and version: addresses within this page. */
const pictures = new Map();
/** People in other windows of this browser, and their pins: as if they had shown each other their screens. */
const nearby = new Map();
const channel = new BroadcastChannel("sealwire-demo");

if (me === null || !/^[a-z]{1,16}$/.test(me)) $("door").hidden = false;
else await enter().catch(failed);

async function enter() {
  document.title = `${proper(me)} · Sealwire demo`;
  const remembered = localStorage.getItem(`known/${me}`) !== null;
  person = await Person.load(me);
  if (person === undefined && remembered) {
    return ask(
      `This browser has no keys for ${proper(me)} any more.`,
      "Its site data was deleted. What was sealed to those keys does not open with new ones, and nobody, not the server either, can bring them back.",
    );
  }
  person ??= await Person.create(me);
  if (!(await server.signUp(me, person.recipient.toString(), false))) {
    return ask(
      `The server knows another ${proper(me)}.`,
      "That account belongs to other keys: those of another browser, or ones that were deleted here. New keys do not open what was sealed to the old ones.",
    );
  }
  await moveIn();
}

/** Whoever lost their keys decides what becomes of the name. */
function ask(what, why) {
  const startOver = button(`Start over as a new ${proper(me)}`, async () => {
    person ??= await Person.create(me);
    await server.signUp(me, person.recipient.toString(), true);
    $("banner").replaceChildren();
    await moveIn();
    say("You have new keys. Whoever met you before has to meet you anew.");
  }, { className: "primary" });
  warn(what, why, startOver);
}

async function moveIn() {
  localStorage.setItem(`known/${me}`, person.pin);
  person.onlost = () =>
    warn(
      `The keys of this window were deleted.`,
      "Somebody deleted this site’s data. Nothing more is sealed, opened or sent from here.",
      button("Load the page again", () => location.reload()),
    );
  await person.publish();
  hostile = new Hostile(person, { notes: () => notes, refresh });
  await hostile.begin();
  $("who").append(face(make("span"), me), `You are ${proper(me)}`);
  $("room-title").textContent = `${proper(me)}’s notes`;
  $("who").hidden = false;
  $("room").hidden = false;
  renderMe();
  renderContacts();
  wire();
  await refresh();
  poll();
}

function wire() {
  onSubmit("write", write);
  onSubmit("meet", lookUp);
  onSubmit("ask", askTheAssistant);
  $("refresh").addEventListener("click", async () => {
    say("Looking…");
    if (await refresh()) say("Up to date.");
  });
  $("picture").addEventListener("change", () => {
    $("picture-name").textContent = $("picture").files[0]?.name ?? "Add a picture";
  });
  $("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("write").requestSubmit();
  });
  const online = () => {
    $("net").textContent = navigator.onLine ? "" : "You are offline. What you write stays in the form until you can send it.";
  };
  addEventListener("online", () => {
    online();
    refresh();
  });
  addEventListener("offline", online);
  online();
  channel.onmessage = ({ data: { name, pin, answer } }) => {
    nearby.set(name, pin);
    if (!answer) channel.postMessage({ name: me, pin: person.pin, answer: true });
    renderNearby();
  };
  channel.postMessage({ name: me, pin: person.pin, answer: false });
}

function onSubmit(id, act) {
  const form = $(id);
  let busy = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    busy = true;
    form.setAttribute("aria-busy", "true");
    try {
      await act(form);
    } catch (error) {
      failed(error);
    } finally {
      busy = false;
      form.removeAttribute("aria-busy");
    }
  });
}

async function write(form) {
  const readers = [...form.querySelectorAll("[name=reader]:checked")].map((tick) => tick.value);
  const picture = $("picture").files[0];
  say("Sealing…");
  await person.write($("text").value, readers, picture);
  form.reset();
  $("picture").dispatchEvent(new Event("change"));
  await refresh();
  say(`Sealed for ${list([...readers.map(proper), "you"])}, and sent.`);
}

/** Fetches and opens what there is, one time after the other. False if that failed; then it was said. */
function refresh() {
  queue = queue.then(refreshNow);
  return queue;
}

async function refreshNow() {
  try {
    const [listed] = await Promise.all([person.list(), loadRows()]);
    notes = listed.filter((note) => note.code !== "NotRecipient").sort(newestFirst);
    const others = listed.length - notes.length;
    $("others").textContent =
      others === 0 ? "" : `The server also holds ${others} ${others === 1 ? "note that is" : "notes that are"} not for you: NotRecipient.`;
    await renderNotes();
    hostile.render();
    return true;
  } catch (error) {
    failed(error);
    return false;
  }
}

async function loadRows() {
  rows = await server.rows();
  const lines = await server.accessLog();
  $("log").textContent = lines.join("\n");
}

/** Looks whether anything changed at the server, for as long as somebody looks. */
function poll() {
  let known = stateOf(rows);
  setInterval(async () => {
    if (document.hidden || !navigator.onLine || hostile.busy) return;
    try {
      await loadRows();
      if (stateOf(rows) !== known) await refresh();
      known = stateOf(rows);
    } catch {
      // It is gone, or this is offline: the next call says so.
    }
  }, POLL);
}

function stateOf(rows) {
  return rows.map(({ path, revision }) => `${path} ${revision}`).join("\n");
}

function newestFirst(one, other) {
  return (other.created ?? 0) - (one.created ?? 0) || one.id.localeCompare(other.id);
}

// Notes

async function renderNotes() {
  const shown = new Map([...$("notes").children].map((item) => [item.dataset.id, item]));
  const items = [];
  for (const note of notes) {
    const mine = rows.filter(({ path }) => path === `notes/${note.id}` || path === `attachments/${note.id}`);
    const readers = await person.readers(note.id);
    const state = JSON.stringify([note, mine, readers, [...person.contacts.keys()]]);
    const old = shown.get(note.id);
    const item = old?.dataset.state === state ? old : noteView(note, mine, readers);
    Object.assign(item.dataset, { id: note.id, state });
    items.push(item);
  }
  const focused = document.activeElement?.dataset.key;
  if (items.some((item, at) => $("notes").children[at] !== item) || $("notes").children.length !== items.length) {
    $("notes").replaceChildren(...items);
    if (focused !== undefined && document.activeElement === document.body) {
      document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
    }
  }
}

function noteView(note, mine, readers) {
  const item = $("note-template").content.cloneNode(true).firstElementChild;
  const find = (selector) => item.querySelector(selector);
  face(find(".face"), note.by);
  if (note.code === undefined) {
    find(".by").textContent = note.by === me ? "You" : proper(note.by);
    const passedOn = note.addressed === "no" ? " · passed on to you" : "";
    find(".meta").textContent = `signature verified · version ${note.version}${passedOn}`;
    find(".text").textContent = note.text;
    if (note.picture) showPicture(note, find("figure"));
    find(".sharing").append(...sharing(note, readers));
  } else {
    item.classList.add("refused");
    find(".by").textContent = "Not shown";
    find(".meta").textContent = note.code;
    find(".text").textContent = "The server serves something here that nobody whom you have met signed for this place.";
  }
  rowsView(find(".row-of-server"), mine);
  return item;
}

async function showPicture(note, figure) {
  const key = `${note.id} ${note.version}`;
  const [image, caption] = figure.children;
  figure.hidden = false;
  try {
    if (!pictures.has(key)) {
      image.hidden = true;
      caption.textContent = "Opening the picture…";
      const file = await person.download(note.id, note.by);
      pictures.set(key, { url: URL.createObjectURL(file), name: file.name, size: file.size });
    }
    const { url, name, size } = pictures.get(key);
    image.src = url;
    image.alt = `The picture ${name}`;
    image.hidden = false;
    caption.textContent = `${name}, ${count(size)} bytes, opened here`;
  } catch (error) {
    caption.textContent = `The picture is not shown: ${codeOf(error)}`;
  }
}

/** Who can open a note, and buttons that change it. */
function sharing(note, readers) {
  const others = [...person.contacts.keys()].filter((name) => name !== note.by);
  const inside = others.filter((name) => readers.includes(name));
  const parts = [];
  if (note.by === me) {
    parts.push(make("p", { className: "help" }, `For ${list([...inside.map(proper), "you"])}.`));
  }
  const buttons = make("div", { className: "buttons" });
  for (const name of others) {
    if (!readers.includes(name)) {
      buttons.append(changing(`Let ${proper(name)} read it`, note, async () => {
        const all = new Set([...readers, name, note.by]);
        all.delete(me);
        await person.share(note.id, note.by, [...all], note.picture);
        return `${proper(name)} can read it now: a new slot in the header, and the body stayed where it is.`;
      }));
    } else if (note.by === me) {
      buttons.append(changing(`Take ${proper(name)} off`, note, async () => {
        await person.revoke(note.id, readers.filter((reader) => reader !== name), note.picture);
        return `Sealed anew, under a new key, without ${proper(name)}. What was read before cannot be taken back.`;
      }));
    }
  }
  if (buttons.children.length > 0) parts.push(buttons);
  return parts;
}

function changing(text, note, act) {
  const key = `${note.id} ${text.split(" ")[1]}`;
  const one = button(text, async () => {
    try {
      const done = await act();
      await refresh();
      say(done);
    } catch (error) {
      failed(error);
    }
  });
  one.dataset.key = key;
  return one;
}

// People

function renderMe() {
  const copy = button("Copy my pin", async () => {
    await navigator.clipboard.writeText(person.pin);
    say("Copied. Give it to whom you trust: it names your keys, and holds no secret.");
  });
  const show = make("p", { className: "print pin", id: "my-pin" }, person.pin);
  $("me").replaceChildren(
    face(make("span"), me),
    make("b", {}, `${proper(me)}, you`),
    make("span", { className: "print", title: "Fingerprint of your keys" }, person.fingerprint),
    show,
    make("div", { className: "buttons" }, copy, ...PEOPLE.filter((name) => name !== me).map(window_)),
  );
}

/** A window for somebody else, in this browser. */
function window_(name) {
  return button(`${proper(name)}’s window`, () => {
    open(`?me=${name}`, `sealwire-demo-${name}`, "popup,width=1200,height=900");
  });
}

function renderContacts() {
  const contacts = [...person.contacts].map(([name, recipient]) =>
    make(
      "li",
      {},
      face(make("span"), name),
      make("b", {}, proper(name)),
      make("span", { className: "print", title: "Fingerprint" }, recipient.fingerprint.toString()),
    ),
  );
  $("contacts").replaceChildren(...contacts);
  const ticks = [...person.contacts.keys()].map((name) =>
    make("label", { className: "tick" }, make("input", { type: "checkbox", name: "reader", value: name, defaultChecked: true }), proper(name)),
  );
  const fieldset = $("readers");
  for (const tick of fieldset.querySelectorAll(".tick")) tick.remove();
  fieldset.append(...ticks);
  $("nobody").hidden = ticks.length > 0;
  renderNearby();
}

function renderNearby() {
  const strangers = [...nearby].filter(([name, pin]) => person.contacts.get(name)?.pin.toString() !== pin);
  const offers = strangers.flatMap(([name, pin]) => [
    make("p", {}, `${proper(name)}’s window is open beside yours, so you can see the pin on it.`),
    button(`Meet ${proper(name)}`, async () => {
      try {
        await met(name, await person.lookUp(name, pin));
      } catch (error) {
        failed(error);
      }
    }, { className: "primary" }),
  ]);
  $("meetable").replaceChildren(...offers);
}

async function lookUp() {
  const [name, pin] = [$("meet-name").value.trim(), $("meet-pin").value.trim()];
  if (name === me) return say("That is you.");
  const recipient = await person.lookUp(name, pin === "" ? undefined : pin);
  if (pin !== "") return met(name, recipient);
  $("compare").replaceChildren(
    make("p", {}, `The server says these are ${proper(name)}’s keys. Does ${proper(name)}’s own screen show the same?`),
    make("p", { className: "print" }, recipient.fingerprint.toString()),
    button("Yes, I compared them", () => met(name, recipient)),
  );
}

async function met(name, recipient) {
  await person.meet(name, recipient);
  $("compare").replaceChildren();
  $("meet").reset();
  $("meet").closest("details").open = false;
  renderContacts();
  await refresh();
  say(`You have met ${proper(name)}: you take their notes, and can write to them.`);
}

async function askTheAssistant() {
  $("answer").replaceChildren("Sealing…");
  try {
    const { answer, asked_by } = await person.ask($("question").value);
    $("answer").replaceChildren(make("p", {}, `To ${proper(asked_by)}: ${answer}`));
  } catch (error) {
    $("answer").replaceChildren(`No answer: ${codeOf(error)}`);
  }
}

// What is said

function say(text, bad = false) {
  $("said").textContent = text;
  $("said").classList.toggle("bad", bad);
}

function failed(error) {
  const code = codeOf(error);
  const why = {
    Network: "The API cannot be reached. What you wrote is still here.",
    InvalidKey: "These are not the keys that the pin names. They may be the server’s own.",
    404: "The server has nothing there.",
  };
  if (person === undefined || $("room").hidden) warn("This page could not begin.", `${error.message} (${code})`);
  else say(`${code}: ${why[code] ?? error.message}`, true);
}

function warn(what, why, action) {
  const buttons = action === undefined ? undefined : make("div", { className: "buttons" }, action);
  $("banner").className = "banner";
  $("banner").replaceChildren(make("div", {}, make("b", {}, what), make("p", {}, why), buttons ?? ""));
}

/** "Bob, Carol and you". */
function list(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
