// The buttons of the hostile server. Each act is done there; then this person's app makes an ordinary call, and what refused it is shown.

import { $, button, make, proper } from "./dom.js";
import { codeOf } from "./sealed.js";
import * as server from "./server.js";

const GROUPS = { client: "What it serves: your app refuses", server: "What it does with requests: an honest part of it refuses" };

export class Hostile {
  #person;
  #page;
  #acts = [];
  #held = 0;
  #done = 0;
  /** While an act is under way nothing else is to be looked at. */
  busy = false;

  constructor(person, page) {
    [this.#person, this.#page] = [person, page];
  }

  async begin() {
    this.#acts = await server.acts();
    const parts = [button("Do all of it", () => this.#doAll(), { className: "all" })];
    for (const [at, title] of Object.entries(GROUPS)) {
      const buttons = this.#acts.filter((act) => act.at === at).map((act) => {
        const one = button(act.did, () => this.#alone(act));
        one.dataset.act = act.name;
        return one;
      });
      parts.push(make("h3", {}, title), ...buttons);
    }
    $("acts").replaceChildren(...parts);
  }

  /** Brings the list of notes up to date. */
  render() {
    const chosen = $("victim").value;
    const options = this.#readable().map(({ id, by, text }) => {
      const who = by === this.#person.name ? "yours" : `${proper(by)}’s`;
      return make("option", { value: id }, `${who}: ${text.length > 40 ? `${text.slice(0, 38)}…` : text}`);
    });
    $("victim").replaceChildren(...options);
    if (options.some(({ value }) => value === chosen)) $("victim").value = chosen;
  }

  #readable() {
    return this.#page.notes().filter((note) => note.code === undefined);
  }

  async #alone(act) {
    if (this.busy) return;
    this.busy = true;
    try {
      await this.#run(act);
    } finally {
      this.busy = false;
    }
  }

  async #doAll() {
    if (this.busy) return;
    this.busy = true;
    try {
      for (const act of this.#acts) await this.#run(act);
    } finally {
      this.busy = false;
    }
  }

  async #run(act) {
    const note = this.#readable().find(({ id }) => id === $("victim").value);
    if (note === undefined && !["look-up", "ask"].includes(act.then)) return this.#idle(act, "There is no note yet: write one first.");
    if (act.then === "write" && note.by !== this.#person.name) return this.#idle(act, "Choose a note that you wrote yourself.");
    if (act.then === "download" && !note.picture) return this.#idle(act, "Choose a note with a picture.");
    const target = {
      reader: this.#person.name,
      note: note?.id ?? "",
      other: this.#readable().find(({ id }) => id !== note?.id)?.id,
      contact: [...this.#person.contacts.keys()][0],
    };
    let answer;
    try {
      answer = await server.act(act.name, target);
    } catch (error) {
      return this.#idle(act, error.message);
    }
    let thrown;
    try {
      await this.#call(act.then, note, target.contact);
    } catch (error) {
      thrown = codeOf(error);
    }
    const refused = await server.beHonest();
    this.#judge(act, codeAt(act, answer, thrown, refused));
  }

  /** The ordinary call that runs into it. */
  #call(then, note, contact) {
    const person = this.#person;
    switch (then) {
      case "read":
        return person.read(note.id);
      case "share":
        return person.readers(note.id).then((readers) => person.share(note.id, note.by, readers, false));
      case "download":
        return person.download(note.id, note.by);
      case "look-up":
        return person.lookUp(contact, person.contacts.get(contact)?.pin.toString());
      case "write":
        return person.writeAgain(note.id);
      case "ask":
        return person.ask("How many logs for three nights?");
      default:
        return undefined;
    }
  }

  #judge(act, code) {
    const held = code === act.code;
    this.#done += 1;
    this.#held += held ? 1 : 0;
    const who = act.at === "client" ? "Your app" : "The server";
    const why = held ? `${who} refused: ${act.refused_by}.` : `This should have been ${act.code}.`;
    $("verdicts").prepend(
      make("li", { className: held ? "" : "bad" }, make("b", {}, act.did), make("span", {}, why), make("span", { className: "code" }, code)),
    );
    $("verdicts").firstElementChild.dataset.verdict = act.name;
    $("score").textContent = `${this.#held} of ${this.#done} refused. Last: ${code}.`;
  }

  #idle(act, why) {
    $("verdicts").prepend(make("li", { className: "idle" }, make("b", {}, act.did), make("span", {}, why)));
    $("verdicts").firstElementChild.dataset.idle = act.name;
    $("score").textContent = `Not done: ${why}`;
  }
}

/** Where it has to be refused, and with which code. */
function codeAt(act, answer, thrown, refused) {
  if (act.at === "client") return thrown ?? "accepted";
  if (act.then === "nothing") return answer.refused[0] ?? String(answer.status);
  // What the server refuses it refuses without a reason: the code is from its audit log. The app's call has to fail as well.
  return thrown === undefined ? "accepted" : (refused[0] ?? thrown);
}
