/**
 * A body that is opened or sealed while it passes, as fast as it is read. `read` gives the next piece, or nothing at the end, and `step` takes it. `over`
 * is called when nothing more comes, with the reason where that is not the end, and says what the reader is told of it.
 */
export function passing(
  front: Uint8Array,
  read: () => Promise<Uint8Array | undefined>,
  step: (piece: Uint8Array | undefined) => Uint8Array,
  over: (reason?: unknown) => unknown,
): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        if (front.length > 0) controller.enqueue(front);
      },
      async pull(controller) {
        try {
          for (let length = 0; length === 0; ) {
            const piece = await read();
            const made = step(piece);
            length = made.length;
            if (length > 0) controller.enqueue(made);
            if (piece === undefined) {
              over();
              return controller.close();
            }
          }
        } catch (thrown) {
          throw over(thrown);
        }
      },
      cancel(reason) {
        over(reason);
      },
    },
    { highWaterMark: 0 },
  );
}

/** Those that wait. Nothing else holds what waits for what never comes, and a signal that was collected with it never aborts. */
const waiting = new Set<() => void>();

/** What comes, unless it is aborted before. */
export async function unlessAborted<T>(signal: AbortSignal | undefined, coming: T | Promise<T>): Promise<T> {
  if (signal === undefined) return coming;
  let abort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
  });
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort();
  waiting.add(abort);
  try {
    return await Promise.race([coming, aborted]);
  } finally {
    waiting.delete(abort);
    signal.removeEventListener("abort", abort);
  }
}
