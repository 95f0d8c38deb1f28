// What the server holds of a note, as bytes.

import { count, make } from "./dom.js";

/** Shows these rows in `element`. */
export function rowsView(element, rows) {
  const parts = rows
    .toSorted((one, other) => other.path.localeCompare(one.path))
    .flatMap((row, at) => [
      make("h3", {}, at === 0 ? "What the server stores" : "And of the picture"),
      make("dl", {}, ...facts(row)),
      bytes(row),
      make("p", { className: "mallory" }, "Mallory, who runs it, tries to open this: ", make("code", {}, row.mallory)),
    ]);
  element.replaceChildren(...parts);
}

function facts(row) {
  const exact = row.padded ? "padded" : "the exact size";
  const readers = row.slots === 1 ? "1 reader" : `${row.slots} readers`;
  return [
    ["row", row.path],
    ["written by", row.owner ?? "somebody"],
    ["can be opened by", row.slots === null ? "—" : `${readers}, not named`],
    ["version", row.version ?? "—"],
    ["header, body", `${count(row.headerLength)} and ${count(row.bodyLength)} bytes (${exact})`],
  ].flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]);
}

function bytes(row) {
  const block = make("pre", { className: "bytes", tabIndex: 0, ariaLabel: `Bytes of ${row.path}` });
  block.append(
    make("b", {}, "header"), spaced(row.header, row.headerLength),
    make("b", {}, "body"), spaced(row.body, row.bodyLength),
  );
  return block;
}

/** Hex in groups, and a sign that there is more. */
function spaced(hex, length) {
  const groups = hex.match(/.{1,4}/g) ?? [];
  return groups.join(" ") + (hex.length / 2 < length ? " …" : "");
}
