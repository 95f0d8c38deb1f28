// The buttons of the hostile server. Each act is done there; then this person's app makes an ordinary call, and what refused it is shown.

import { $, button, make, proper } from "./dom.js";
import { codeOf } from "./sealed.js";
import * as server from "./server.js";

const GROUPS = { client: "What it serves: your app refuses", server: "What it does with requests: the API refuses" };

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
    const parts = [button("Do all of it", () => this.#alone(this.#acts), { className: "all" })];
    for (const [at, title] of Object.entries(GROUPS)) {
      const items = this.#acts.filter((act) => act.at === at).map((act) => {
        const item = make("li", {}, button(act.did, () => this.#alone([act])));
        item.dataset.act = act.name;
        return item;
      });
      parts.push(make("h3", {}, title), make("ol", {}, ...items));
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

  async #alone(acts) {
    if (this.busy) return;
    this.busy = true;
    this.#held = this.#done = 0;
    try {
      for (const act of acts) await this.#run(act);
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
    const answer = await server.act(act.name, target);
    if (answer.impossible !== undefined) return this.#idle(act, answer.impossible);
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
    this.#show(act, held ? "held" : "bad", code, held ? `${who} refused: ${act.refused_by}.` : `This should have been ${act.code}.`);
    $("score").textContent = this.#done > 1 ? `${this.#held} of ${this.#done} refused.` : `${code}. ${held ? "Refused." : "Not as it must be."}`;
  }

  #idle(act, why) {
    this.#show(act, "idle", undefined, why);
    if (this.#done === 0) $("score").textContent = `Not done. ${why}`;
  }

  /** Under the button, so that it stands beside what was done. */
  #show(act, className, code, why) {
    const item = document.querySelector(`[data-act="${act.name}"]`);
    const one = item.querySelector("button");
    const chip = code === undefined ? [] : [make("span", { className: "code" }, code)];
    one.replaceChildren(make("span", {}, act.did), ...chip);
    item.className = className;
    item.replaceChildren(one, make("p", { className: "why" }, why));
  }
}

/** Where it has to be refused, and with which code. */
function codeAt(act, answer, thrown, refused) {
  if (act.at === "client") return thrown ?? "accepted";
  if (act.then === "nothing") return answer.refused[0] ?? String(answer.status);
  // What the server refuses it refuses without a reason: the code is from its audit log. The app's call has to fail as well.
  return thrown === undefined ? "accepted" : (refused[0] ?? thrown);
}
