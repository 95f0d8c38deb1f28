// `order.mjs MODULE WINDOW`: names every function by its place in an order in which like stands beside like, for `wasm-opt --reorder-functions-by-name`.
// gzip finds what was there before only in the last 32 KiB, of which WINDOW bytes are counted: this is worth 2 KB of the module.
import { readFileSync, writeFileSync } from "node:fs";

const [, , file, window] = process.argv;
const bytes = readFileSync(file);
const WINDOW = Number(window);
const STRETCH = 6;
let at = 8;

function number() {
  for (let value = 0, shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    value |= (byte & 127) << shift;
    if (byte < 128) return value;
  }
}

function written(value) {
  return value < 128 ? [value] : [(value & 127) | 128, ...written(value >>> 7)];
}

let imported = 0;
const functions = [];
while (at < bytes.length) {
  const section = bytes[at++];
  const end = number() + at;
  // Of imports the module has functions only: what else it needs, it has itself.
  if (section === 2) imported = number();
  if (section === 10) {
    for (let left = number(); left > 0; left--) {
      const length = number();
      functions.push(bytes.subarray(at, (at += length)));
    }
  }
  at = end;
}

// Which stretches of bytes each has, by a number of 20 bits.
const stretches = functions.map((code) => {
  const found = new Set();
  for (let i = 0; i + STRETCH <= code.length; i++) {
    let hash = 0;
    for (let j = 0; j < STRETCH; j++) hash = Math.imul(hash ^ code[i + j], 0x01000193);
    found.add((hash ^ (hash >>> 15)) & 0xfffff);
  }
  return [...found];
});

const inWindow = new Uint16Array(1 << 20);
const order = [];
const left = new Set(functions.keys());
let [next, length, oldest] = [functions.findIndex((code) => code.length === Math.max(...functions.map(({ length }) => length))), 0, 0];
while (left.size > 0) {
  left.delete(next);
  order.push(next);
  for (const stretch of stretches[next]) inWindow[stretch]++;
  for (length += functions[next].length; length > WINDOW && oldest < order.length - 1; oldest++) {
    length -= functions[order[oldest]].length;
    for (const stretch of stretches[order[oldest]]) inWindow[stretch]--;
  }
  let best = -1;
  for (const candidate of left) {
    let shared = 0;
    for (const stretch of stretches[candidate]) if (inWindow[stretch] > 0) shared++;
    const likeness = shared / (stretches[candidate].length + 120);
    if (likeness > best) [best, next] = [likeness, candidate];
  }
}

const places = new Map(order.map((index, place) => [index, place]));
const names = functions.flatMap((_, index) => [...written(imported + index), 6, ...Buffer.from(String(places.get(index)).padStart(6, "0"))]);
const map = [...written(functions.length), ...names];
const content = [4, ...Buffer.from("name"), 1, ...written(map.length), ...map];
writeFileSync(file, Buffer.concat([bytes, Buffer.from([0, ...written(content.length), ...content])]));
