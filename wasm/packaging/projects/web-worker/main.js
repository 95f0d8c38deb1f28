const worker = new Worker("worker.js", { type: "module" });
worker.onmessage = ({ data }) => (document.title = data);
