// The demo with its page, and people in Chromium. Screenshots go to .cache/screenshots/.

import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const SHOTS = `${ROOT}.cache/screenshots/`;

/** Starts the demo, and gives where its page is once its story is told. */
export async function startDemo() {
  const options = ["--json", "--serve", "--keep"];
  const binary = process.env.SEALWIRE_DEMO;
  const [program, given] =
    binary === undefined ? ["cargo", ["run", "--quiet", "-p", "demo", "--", ...options]] : [binary, options];
  const child = spawn(program, given, { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"], detached: true });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  let printed = "";
  const report = await new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the demo ended with ${code}`)));
    child.stdout.on("data", (piece) => {
      printed += piece;
      if (printed.endsWith("\n}\n")) resolve(JSON.parse(printed));
    });
  });
  const stop = async () => {
    // The whole group: cargo does not pass signals on.
    process.kill(-child.pid, "SIGINT");
    await ended;
  };
  return { url: report.page, folder: report.folder, stop };
}

/** A browser context that notes each violation of the page's policy, and each error that nobody caught. */
export async function newContext(browser, complaints, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  await context.exposeBinding("complain", (_, text) => complaints.push(text));
  await context.addInitScript(() =>
    document.addEventListener("securitypolicyviolation", (event) =>
      window.complain(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`),
    ),
  );
  context.on("weberror", (error) => complaints.push(error.error().message));
  return context;
}

/** A person's window. */
export class Window {
  constructor(page, name) {
    [this.page, this.name] = [page, name];
  }

  static async open(context, url, name) {
    const page = await context.newPage();
    await page.goto(`${url}/?me=${name}`);
    await page.locator("#room:not([hidden]), #banner > div").first().waitFor();
    return new Window(page, name);
  }

  pin() {
    return this.page.locator("#my-pin").textContent();
  }

  /** Meets somebody whose pin came from their own screen. */
  async meet(other) {
    await this.lookUp(other.name, await other.pin());
    await this.said(/You have met/);
  }

  async lookUp(name, pin) {
    const form = this.page.locator("#meet");
    if (!(await form.isVisible())) await this.page.getByText("Meet somebody else").click();
    await form.getByLabel("Name").fill(name);
    await form.getByLabel("Their pin").fill(pin);
    await form.getByRole("button").click();
  }

  /** Writes a note, for everybody whom this person has met unless `readers` says for whom. */
  async write(text, { readers, picture } = {}) {
    const form = this.page.locator("#write");
    await form.getByLabel("Text").fill(text);
    for (const tick of readers === undefined ? [] : await form.getByRole("checkbox").all()) {
      await tick.setChecked(readers.includes(await tick.getAttribute("value")));
    }
    if (picture !== undefined) await form.locator("input[type=file]").setInputFiles(picture);
    await form.getByRole("button", { name: "Seal and send" }).click();
  }

  /** The card of a note, and the row beside it. */
  note(text) {
    return this.page.locator("#notes > li").filter({ hasText: text });
  }

  async press(text, name) {
    await this.note(text).getByRole("button", { name }).click();
  }

  async refresh() {
    await this.page.locator("#refresh").click();
    await this.said("Up to date.");
  }

  /** Waits until the page says this. */
  said(text) {
    return this.page.locator("#said").filter({ hasText: text }).waitFor();
  }

  texts() {
    return this.page.locator("#notes .text").allTextContents();
  }

  /** Has the server do something, and gives the code with which it was refused. */
  async act(name) {
    const item = this.page.locator(`[data-act="${name}"]`);
    await item.evaluate((element) => element.querySelector(".why")?.remove());
    await item.getByRole("button").click();
    await item.locator(".why").waitFor();
    return (await item.locator(".code").count()) > 0 ? item.locator(".code").textContent() : item.locator(".why").textContent();
  }

  async shoot(name, widths = [1280, 375]) {
    mkdirSync(SHOTS, { recursive: true });
    const before = this.page.viewportSize();
    for (const width of widths) {
      await this.page.setViewportSize({ width, height: 900 });
      await this.page.screenshot({ path: `${SHOTS}${name}-${width}.png`, fullPage: true });
    }
    await this.page.setViewportSize(before);
  }
}

/** A picture of noise in a PNG's clothes is none; this one is drawn. */
export async function drawing(page) {
  const bytes = await page.evaluate(async () => {
    const canvas = new OffscreenCanvas(900, 600);
    const pen = canvas.getContext("2d");
    const sky = pen.createLinearGradient(0, 0, 0, 600);
    sky.addColorStop(0, "#93a7c4");
    sky.addColorStop(1, "#f2d9b8");
    pen.fillStyle = sky;
    pen.fillRect(0, 0, 900, 600);
    pen.fillStyle = "#fff3d2";
    pen.beginPath();
    pen.arc(640, 220, 70, 0, 7);
    pen.fill();
    for (const [colour, base, height, period] of [["#6c8577", 420, 90, 190], ["#22382c", 540, 60, 260]]) {
      pen.fillStyle = colour;
      pen.beginPath();
      pen.moveTo(0, 600);
      for (let x = 0; x <= 900; x += 10) pen.lineTo(x, base - height * Math.abs(Math.sin(x / period)));
      pen.lineTo(900, 600);
      pen.fill();
    }
    // Grain, so that it does not pack well: acts on pictures need several chunks.
    for (let at = 0; at < 20000; at += 1) {
      pen.fillStyle = `rgb(${at % 255} ${(at * 7) % 255} ${(at * 13) % 255} / 6%)`;
      pen.fillRect((at * 37) % 900, (at * 91) % 600, 2, 2);
    }
    return [...new Uint8Array(await (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer())];
  });
  return { name: "the-way-to-the-cabin.png", mimeType: "image/png", buffer: Buffer.from(bytes) };
}
