// The demo's page in Chromium: people with browsers of their own, a hostile server, a hostile network, and what else happens to a page.

import assert from "node:assert/strict";
import { readFileSync, readdirSync, rmSync } from "node:fs";
import http from "node:http";
import { after, before, test } from "node:test";
import { launch } from "../chromium.mjs";
import { Window, drawing, newContext, startDemo } from "./demo.mjs";
import { startProxy } from "./proxy.mjs";

const SECRET = "Key: under the third stone.";
/** What a hostile server does, and the code with which each has to end. */
const ACTS = {
  flip: "Rejected",
  forge: "Rejected",
  "forge-signed": "Rejected",
  swap: "Rejected",
  old: "Rejected",
  raise: "NotRecipient",
  drop: "NotRecipient",
  share: "Rejected",
  page: "Malformed",
  plain: "Unsealed",
  truncate: "Truncated",
  middle: "Rejected",
  "own-key": "InvalidKey",
  "ask-plain": "Unsealed",
  "service-key": "Rejected",
  transit: "Rejected",
  replay: "Replayed",
  unsign: "Rejected",
  "re-sign": "403",
};

let demo;
let browser;
let alice;
let bob;
let carol;
/** What browsers complained of: there must be nothing. */
const complaints = [];

const options = { timeout: 60_000 };

before(async () => {
  [demo, browser] = await Promise.all([startDemo(), launch()]);
  const open = async (name, colorScheme) =>
    Window.open(await newContext(browser, complaints, { colorScheme }), demo.url, name);
  [alice, bob, carol] = await Promise.all([open("alice", "light"), open("bob", "dark"), open("carol", "light")]);
}, { timeout: 300_000 });

after(async () => {
  await browser?.close();
  await demo?.stop();
  if (demo !== undefined) rmSync(demo.folder, { recursive: true });
});

test("people meet by their pins, and a wrong pin is refused", options, async () => {
  await alice.meet(bob);
  await bob.meet(alice);
  await bob.meet(carol);
  await carol.meet(alice);
  await alice.lookUp("carol", await bob.pin());
  await alice.said("InvalidKey");
  assert.equal(await alice.page.locator("#contacts li").count(), 1);
});

test("Alice writes Bob a note with a picture; he reads it, and the server holds bytes", options, async () => {
  await alice.write(SECRET, { picture: await drawing(alice.page) });
  await alice.said("Sealed for Bob and you");
  await bob.refresh();
  const card = bob.note(SECRET);
  await card.getByText("signature verified · version 1").waitFor();
  await card.getByRole("img", { name: "the-way-to-the-cabin.png" }).waitFor();
  const width = await card.getByRole("img").evaluate((image) => image.decode().then(() => image.naturalWidth));
  assert.equal(width, 900);
  const row = await card.locator("aside").innerText();
  assert.match(row, /alice[\s\S]*2 readers, not named[\s\S]*NotRecipient/);
  assert.ok(!row.includes("stone") && !row.includes("cabin"), row);
  await carol.refresh();
  assert.deepEqual(await carol.texts(), []);
  await carol.page.getByText("1 note that is not for you: NotRecipient").waitFor();
});

test("Bob passes it on to Carol, who reads what Alice signed; Alice takes it back from both", options, async () => {
  await bob.press(SECRET, "Let Carol read it");
  await bob.said("Carol can read it now");
  await carol.refresh();
  await carol.note(SECRET).getByText("signature verified · version 1 · passed on to you").waitFor();
  await carol.note(SECRET).getByRole("img", { name: "the-way-to-the-cabin.png" }).waitFor();
  await carol.note(SECRET).getByText("3 readers, not named").first().waitFor();

  await alice.refresh();
  await alice.press(SECRET, "Take Bob off");
  await alice.said("Sealed anew");
  for (const reader of [bob, carol]) {
    await reader.refresh();
    assert.deepEqual(await reader.texts(), []);
  }
  await alice.press(SECRET, "Let Bob read it");
  await alice.said("Bob can read it now");
  await bob.refresh();
  await bob.note(SECRET).getByText("version 2").first().waitFor();
});

test("every hostile act is refused, with its code", options, async () => {
  await alice.write("Bob, please bring firewood and coffee.");
  await alice.said("Sealed for Bob");
  await bob.refresh();
  // The note with the picture, of which there are two versions.
  for (const window of [alice, bob]) {
    const option = window.page.locator("#victim option").filter({ hasText: "third stone" });
    await window.page.locator("#victim").selectOption(await option.getAttribute("value"));
  }
  const buttons = await bob.page.locator("[data-act]").evaluateAll((items) => items.map((item) => item.dataset.act));
  assert.deepEqual(new Set(buttons), new Set(Object.keys(ACTS)), "a button that this test does not know");
  for (const [name, code] of Object.entries(ACTS)) {
    // A note is changed on the way in where its author writes it.
    const window = name === "transit" ? alice : bob;
    assert.equal(await window.act(name), code, name);
  }
  // All was put back.
  await bob.refresh();
  assert.ok((await bob.texts()).includes(SECRET));
  await alice.shoot("alice-light");
  await bob.shoot("bob-dark");
});

test("two windows of one browser see each other's pins, and learn of what changes by themselves", options, async () => {
  const context = await newContext(browser, complaints);
  const [erin, frank] = [await Window.open(context, demo.url, "erin"), await Window.open(context, demo.url, "frank")];
  await erin.page.getByRole("button", { name: "Meet Frank" }).click();
  await erin.said("You have met Frank");
  await frank.page.getByRole("button", { name: "Meet Erin" }).click();
  await frank.said("You have met Erin");
  await erin.write("From one window to the other.");
  await frank.note("From one window to the other.").getByText("version 1").first().waitFor();
  // Two tabs of one person are one device: what one has seen, the other does not take back.
  const again = await Window.open(context, demo.url, "erin");
  assert.equal(await again.pin(), await erin.pin());
  await again.note("From one window to the other.").getByText("For Frank and you").waitFor();
  await context.close();
});

test("the assistant answers a sealed question", options, async () => {
  await alice.page.getByLabel("Question").fill("How many logs for three nights?");
  await alice.page.getByRole("button", { name: "Ask" }).click();
  await alice.page.locator("#answer").getByText("To Alice: To your 6 words").waitFor();
});

test("a note is written with the keyboard alone", options, async () => {
  const { page } = await Window.open(carol.page.context(), demo.url, "carol");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip", "first comes the skip link");
  await page.keyboard.press("Enter");
  const tabTo = async (id) => {
    for (let presses = 0; presses < 40; presses += 1) {
      await page.keyboard.press("Tab");
      const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
      const ringed = await page.evaluate(() => document.activeElement.closest(".tick, .file") !== null);
      assert.ok(outline !== "none" || ringed, "focus is seen");
      if (await page.evaluate((id) => document.activeElement.matches(id), id)) return;
    }
    assert.fail(`${id} cannot be reached`);
  };
  await tabTo("#text");
  await page.keyboard.type("By keyboard.");
  await tabTo("[name=reader]");
  await page.keyboard.press("Space");
  await tabTo("#write button.primary");
  await page.keyboard.press("Enter");
  await page.locator("#said").filter({ hasText: "Sealed for you, and sent." }).waitFor();
  await page.close();
});

test("offline nothing is lost, and online it is sent", options, async () => {
  const context = alice.page.context();
  await context.setOffline(true);
  await alice.page.locator("#net").filter({ hasText: "offline" }).waitFor();
  await alice.write("Written on the train.");
  await alice.said("Network: The API cannot be reached");
  assert.equal(await alice.page.locator("#text").inputValue(), "Written on the train.");
  await context.setOffline(false);
  await alice.page.locator("#net").filter({ hasText: /^$/ }).waitFor({ state: "hidden" });
  await alice.page.getByRole("button", { name: "Seal and send" }).click();
  await alice.said("Sealed for Bob and you");
  await bob.refresh();
  assert.ok((await bob.texts()).includes("Written on the train."));
});

test("a tab that crashes while it writes leaves the old version or the new one", options, async () => {
  const context = alice.page.context();
  for (const moment of ["request", "response"]) {
    const text = `Crash at the ${moment}.`;
    await alice.write(text);
    await alice.said("Sealed for Bob");
    const session = await context.newCDPSession(alice.page);
    const crashed = alice.page.waitForEvent("crash");
    const writes = (message) => (message.request?.() ?? message).method() === "PUT" && message.url().includes("/notes/");
    alice.page.on(moment, (message) => {
      if (writes(message)) session.send("Page.crash").catch(() => {});
    });
    await alice.press(text, "Take Bob off");
    await crashed;
    await alice.page.close();
    alice = await Window.open(context, demo.url, "alice");
    const card = alice.note(text);
    await card.getByText(/signature verified · version [12]$/).waitFor();
    // It goes on from there.
    await alice.write(`After the ${moment}.`);
    await alice.said("Sealed for Bob");
    await bob.refresh();
    const texts = await bob.texts();
    assert.ok(texts.includes(`After the ${moment}.`));
    const version = (await card.locator(".meta").textContent()).includes("version 1") ? 1 : 2;
    assert.equal(texts.includes(text), version === 1, "Bob is off the list exactly if version 2 was stored");
  }
});

test("what a network changes is refused", options, async () => {
  const proxy = await startProxy();
  const behind = await launch({ proxy: { server: proxy.address } });
  try {
    const context = await newContext(behind, complaints);
    const dave = await Window.open(context, demo.url, "dave");
    await dave.write("Through a proxy.");
    await dave.said("Sealed for you");
    const lists = ({ method, url }) => method === "GET" && url.pathname === "/notes";
    const writes = ({ method, url }) => method === "PUT" && url.pathname.startsWith("/notes/");
    const changed = async (change, act) => {
      let hit = false;
      proxy.change = (call) => {
        const changes = change(call);
        hit ||= changes !== undefined;
        return changes;
      };
      await act();
      proxy.change = undefined;
      assert.ok(hit, "the proxy saw the call");
    };
    const flip = (message) => {
      message.body[message.body.length - 1] ^= 1;
    };
    const again = () => dave.write("Another one.");

    await changed((call) => (writes(call) ? { request: flip } : undefined), async () => {
      await again();
      await dave.said("401");
    });
    const unsign = ({ headers }) => ["signature", "signature-input"].forEach((name) => delete headers[name]);
    await changed((call) => (writes(call) ? { request: unsign } : undefined), async () => {
      await again();
      await dave.said("401");
    });
    const redirect = (answer) => Object.assign(answer, { status: 302, body: Buffer.alloc(0) }).headers.location = "/elsewhere";
    await changed((call) => (lists(call) ? { answer: redirect } : undefined), async () => {
      await dave.page.locator("#refresh").click();
      await dave.said(/Network|Unsealed/);
    });
    await changed((call) => (lists(call) ? { answer: (answer) => Object.assign(answer, { body: corrupted(answer.body) }) } : undefined), async () => {
      await dave.page.locator("#refresh").click();
      await dave.page.locator("#notes .refused").getByText("Rejected").waitFor();
    });
    await dave.refresh();
    assert.deepEqual(await dave.texts(), ["Through a proxy."]);
  } finally {
    await behind.close();
    proxy.stop();
  }
});

/** A list whose envelopes have another last byte. */
function corrupted(body) {
  const items = JSON.parse(body);
  for (const item of items) {
    const bytes = Buffer.from(item.envelope, "base64url");
    bytes[bytes.length - 1] ^= 1;
    item.envelope = bytes.toString("base64url");
  }
  return Buffer.from(JSON.stringify(items));
}

test("keys that are deleted are missed, and nobody pretends to have them", options, async () => {
  const context = carol.page.context();
  const session = await context.newCDPSession(carol.page);
  const remove = (storageTypes) => session.send("Storage.clearDataForOrigin", { origin: demo.url, storageTypes });
  await remove("indexeddb");
  await carol.page.locator("#banner").getByText("The keys of this window were deleted.").waitFor();
  await carol.page.reload();
  await carol.page.locator("#banner").getByText("This browser has no keys for Carol any more.").waitFor();
  await carol.shoot("carol-keys-gone");
  assert.ok(await carol.page.locator("#room").isHidden());

  await remove("all");
  await carol.page.reload();
  await carol.page.locator("#banner").getByText("The server knows another Carol.").waitFor();
  await carol.page.getByRole("button", { name: "Start over as a new Carol" }).click();
  await carol.page.locator("#room").waitFor();
  assert.deepEqual(await carol.texts(), [], "what was sealed to the old keys stays shut");

  // Who met the old Carol does not take the new one for her.
  await carol.meet(bob);
  await carol.write("It is me, Carol.", { readers: ["bob"] });
  await carol.said("Sealed for Bob");
  await bob.refresh();
  assert.ok(!(await bob.texts()).includes("It is me, Carol."));
  await bob.note("Not shown").getByText("Rejected").waitFor();
  await bob.meet(carol);
  assert.ok((await bob.texts()).includes("It is me, Carol."));
});

test("on a phone nothing is cut off, in any of the states", options, async () => {
  for (const window of [alice, bob, carol]) {
    await window.page.setViewportSize({ width: 360, height: 740 });
    const { wide, small } = await window.page.evaluate(() => ({
      wide: document.documentElement.scrollWidth,
      small: [...document.querySelectorAll("button, .file, .tick, select")]
        .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 24)
        .map((one) => one.textContent),
    }));
    assert.equal(wide, 360);
    assert.deepEqual(small, [], "a target of at least 24 pixels (WCAG 2.2)");
  }
  const door = await (await newContext(browser, complaints)).newPage();
  await door.goto(demo.url);
  await door.getByRole("link", { name: "Alice" }).waitFor();
  await new Window(door).shoot("door");
  await door.getByRole("link", { name: "Alice" }).focus();
});

test("the console answers this page only", options, async () => {
  const { host } = new URL(demo.url);
  const status = (method, path, headers) =>
    new Promise((resolve, reject) => {
      const request = http.request(`${demo.url}${path}`, { method, headers }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      request.on("error", reject);
      request.end();
    });
  assert.equal(await status("GET", "/console/rows", { host }), 200);
  assert.equal(await status("GET", "/console/rows", { host: "rebound.example" }), 403);
  assert.equal(await status("GET", "/console/rows", { host, origin: "http://elsewhere.example" }), 403);
  assert.equal(await status("POST", "/console/honest", { host }), 403, "without an origin");
  assert.equal(await status("POST", "/console/honest", { host, origin: "http://elsewhere.example" }), 403);
  assert.equal(await status("GET", "/sealwire/..%2f..%2fCargo.toml", { host }), 404);
});

test("no secret is in what the server keeps, and no browser complained", options, async () => {
  assert.deepEqual(complaints, []);
  const files = readdirSync(demo.folder).filter((name) => name.startsWith("page"));
  assert.ok(files.includes("page.sqlite") && files.includes("page-access.log"), files.join());
  const kept = Buffer.concat(files.map((name) => readFileSync(`${demo.folder}/${name}`)));
  for (const secret of ["third stone", "firewood and coffee", "the-way-to-the-cabin", "image/png", "three nights", "on the train"]) {
    for (const form of [Buffer.from(secret), Buffer.from(Buffer.from(secret).toString("hex"))]) {
      assert.ok(!kept.includes(form), secret);
    }
  }
  assert.ok(kept.includes("notes/"), "a search that finds what is there");

  // The policy is one that is enforced.
  await alice.page.evaluate(() => {
    const script = document.createElement("script");
    try {
      script.textContent = "window.broken = true";
    } catch {
      // Trusted types refuse it already.
    }
    document.body.append(script);
  });
  await alice.page.waitForTimeout(200);
  assert.equal(await alice.page.evaluate(() => window.broken), undefined);
  assert.notDeepEqual(complaints, []);
});
