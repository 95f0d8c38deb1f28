// What a person's app remembers on this device, beside its keys: whom it has met, which versions it has seen, with whom it shared.
// A database for each person, so that two windows of one browser are two devices.

export class Memory {
  #database;

  /** Opens the memory of `name`. */
  static async open(name) {
    const request = indexedDB.open(`sealwire-demo-${name}`, 1);
    request.onupgradeneeded = () => request.result.createObjectStore("memory");
    const memory = new Memory();
    memory.#database = await done(request);
    // Somebody deletes the site's data: let go, and say so.
    memory.#database.onversionchange = () => memory.#lost();
    memory.#database.onclose = () => memory.#lost();
    return memory;
  }

  /** What to do when this device's storage is gone while the app runs. */
  onlost = () => {};

  #lost() {
    this.#database.close();
    this.onlost();
  }

  find(key) {
    return done(this.#begin("readonly").get(key));
  }

  /** All that stands under keys that begin so, by what follows. */
  async below(prefix) {
    const range = IDBKeyRange.bound(prefix, `${prefix}\uffff`);
    const store = this.#begin("readonly");
    const [keys, values] = await Promise.all([done(store.getAllKeys(range)), done(store.getAll(range))]);
    return new Map(keys.map((key, at) => [key.slice(prefix.length), values[at]]));
  }

  /** Writes all of these, or none. */
  async put(entries) {
    const store = this.#begin("readwrite");
    for (const [key, value] of Object.entries(entries)) store.put(value, key);
    await new Promise((resolve, reject) => {
      store.transaction.oncomplete = resolve;
      store.transaction.onabort = () => reject(store.transaction.error);
    });
  }

  /** Raises the number under `key`. False if it is above already: two tabs may do this at once. */
  async raise(key, number) {
    const store = this.#begin("readwrite");
    const known = (await done(store.get(key))) ?? 0;
    if (number > known) store.put(number, key);
    return number >= known;
  }

  #begin(mode) {
    return this.#database.transaction("memory", mode, { durability: "strict" }).objectStore("memory");
  }
}

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
