const registration = await navigator.serviceWorker.register("worker.js", { type: "module" });
await navigator.serviceWorker.ready;
const player = document.querySelector("audio");

/** Hands the reader's identity to the worker, then plays. */
globalThis.play = async (identity, name) => {
  const channel = new MessageChannel();
  const ready = new Promise((resolve) => (channel.port1.onmessage = resolve));
  registration.active.postMessage({ identity }, [channel.port2]);
  const { data } = await ready;
  if (data !== "ready") throw new Error(`the worker cannot read the identity: ${data}`);
  player.src = `/media/${name}`;
};
document.title = "waiting for play()";
