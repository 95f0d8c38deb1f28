// Chromium, for every test and benchmark that needs a browser: the one that CHROMIUM names, or the first in PATH.

import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];
const inPath = process.env.PATH.split(":").flatMap((folder) => NAMES.map((name) => `${folder}/${name}`));

/** Where it is, if it is anywhere. */
export const executablePath = process.env.CHROMIUM ?? inPath.find((path) => existsSync(path));

const args = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
  "--disable-sync", "--autoplay-policy=no-user-gesture-required",
];

/** A Chromium of its own, with nothing in its profile. */
export function launch(options = {}) {
  return chromium.launch({ executablePath, args, ...options });
}

/** What starts one by hand with the profile in `folder`, for `chromium.connectOverCDP`. */
export function byHand(folder) {
  return [executablePath, ["--headless", ...args, "--remote-debugging-port=0", `--user-data-dir=${folder}`, "about:blank"]];
}

export { chromium };
