// worker.js - module workers of browsers, as far as quern.js uses them, over Node's.
import { Worker as NodeWorker } from "node:worker_threads";

const START = `
  const { parentPort, workerData } = require("node:worker_threads");
  globalThis.postMessage = (data) => parentPort.postMessage(data);
  let handler = null;
  Object.defineProperty(globalThis, "onmessage", { set: (value) => (handler = value) });
  const early = [];
  parentPort.on("message", (data) => (handler ? handler({ data }) : early.push(data)));
  import(workerData).then(() => early.splice(0).forEach((data) => handler({ data })));
`;

export class Worker {
  onmessage = null;
  onerror = null;
  #worker;

  constructor(url) {
    this.#worker = new NodeWorker(START, { eval: true, workerData: String(url) });
    this.#worker.on("message", (data) => this.onmessage?.({ data }));
    this.#worker.on("error", (error) => this.onerror?.(error));
  }

  postMessage(data) {
    this.#worker.postMessage(data);
  }

  terminate() {
    this.#worker.terminate();
  }
}
