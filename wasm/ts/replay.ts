import { bytes, chosen, unsigned } from "./context.js";
import { misuse } from "./error.js";
import * as glue from "./glue/sealwire.js";
import { Held, run } from "./module.js";

/**
 * Remembers requests for a while, so that each reaches the app once. Several processes of one service share one cache, or a request can
 * be replayed to the other process.
 *
 * An implementation inserts **atomically, if absent**, and never forgets early: when it is full or out of reach it rejects, and the request is
 * refused with 503. What it rejects with does not matter, except that a `SealwireError` with the code `Expired` says "I cannot know: it is from
 * before my time".
 *
 * On Redis one command does it:
 *
 * ```ts
 * const replay: ReplayCache = {
 *   insert: async (id, _made, until) =>
 *     (await redis.set(`replay:${Buffer.from(id).toString("hex")}`, "1", { NX: true, PXAT: (until + 1) * 1000 })) === "OK",
 * };
 * ```
 *
 * Redis has to keep what it was told: `maxmemory-policy noeviction`, and an append-only file with `appendfsync always` if it may crash. On
 * Cloudflare a Durable Object does it, since only one request runs in it at a time; **Workers KV does not**: it is neither atomic nor
 * consistent, so that one request gets in twice in two places. Source: SPEC §18.
 */
export interface ReplayCache {
  /**
   * Remembers `id` (32 bytes) until the second `until` has passed: true if it was not there. `made` is when the request says that it was made;
   * all times are Unix seconds.
   */
  insert(id: Uint8Array, made: number, until: number, now: number): Promise<boolean>;
}

/**
 * A {@link ReplayCache} in the memory of one process.
 *
 * It refuses requests that were made before it began, since it cannot know them. When it is full (`capacity` requests at a time, about 100
 * bytes each) it refuses, rather than forget. Runtimes that start a new isolate for any request need a shared one instead.
 */
export class MemoryReplayCache implements ReplayCache {
  readonly #capacity: number;
  readonly #began = Math.floor(Date.now() / 1000);
  #held: Held<glue.MemoryReplay> | undefined;

  constructor(options: { capacity?: number } = {}) {
    this.#capacity = chosen(options, "capacity").capacity ?? 1_000_000;
    if (!Number.isSafeInteger(this.#capacity) || this.#capacity < 1 || this.#capacity >= 2 ** 32) {
      throw misuse("a capacity is a whole number above 0");
    }
  }

  insert(id: Uint8Array, made: number, until: number, now: number): Promise<boolean> {
    return run(() => {
      // What was remembered in an instance of the module that failed is lost, and said so.
      this.#held ??= new Held(new glue.MemoryReplay(this.#capacity, BigInt(this.#began)));
      return this.#held.object.insert(bytes(id), unsigned(made), unsigned(until), unsigned(now));
    });
  }
}
