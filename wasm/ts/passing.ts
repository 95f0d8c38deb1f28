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
