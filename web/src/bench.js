// Speed over a prompt (pp) and token by token (tg), measured as `quern bench` does: one run to warm up, then `runs`
// whose median counts; and, where asked for, the GPU time of each kernel.

export class Bench {
  #options;
  #signal;
  #onResult;
  #random = 1;

  constructor({ prompt = [512], generate = [128], depth = 0, runs = 5, profile = false }, signal, onResult) {
    this.#options = { prompt: [prompt].flat(), generate: [generate].flat(), depth, runs, profile };
    this.#signal = signal;
    this.#onResult = onResult;
  }

  /** Positions that the session needs. */
  get ctx() {
    const { prompt, generate, depth } = this.#options;
    return depth + Math.max(1, ...prompt, ...generate) + 1;
  }

  /** @param {import("./session.js").HostSession} session */
  async run(session) {
    const { prompt, generate, depth, runs, profile } = this.#options;
    const tests = [...prompt.map((n) => ["pp", n]), ...generate.map((n) => ["tg", n])].filter(([, n]) => n > 0);
    const results = [];
    for (const [kind, n] of tests) {
      await this.#once(session, kind, n);
      const rates = [];
      for (let i = 0; i < runs; i++) rates.push((1000 * n) / (await this.#once(session, kind, n)));
      rates.sort((a, b) => a - b);
      const result = { test: `${kind}${n}`, depth, tokensPerSecond: rates[rates.length >> 1], rates };
      if (profile) result.kernels = await this.#profile(session, kind, n);
      results.push(result);
      this.#onResult(result);
    }
    return results;
  }

  #tokens(n, vocabulary) {
    return Array.from({ length: n }, () => {
      this.#random = (Math.imul(this.#random, 1664525) + 1013904223) >>> 0;
      return (this.#random >>> 8) % vocabulary;
    });
  }

  /** Milliseconds of one run. */
  async #once(session, kind, n, visit = () => {}) {
    const { core, pointer } = session;
    const { depth } = this.#options;
    const before = this.#tokens(Math.max(depth, kind === "tg" ? 1 : 0), session.vocabulary);
    session.forget();
    if (before.length) await this.#finish(session, before);
    if (kind === "pp") {
      const tokens = [...before, ...this.#tokens(n, session.vocabulary)];
      const started = performance.now();
      await this.#finish(session, tokens, visit);
      return performance.now() - started;
    }
    const started = performance.now();
    core.startGeneration(pointer, { max_tokens: n });
    for (;;) {
      const { state } = await core.step(pointer, this.#signal);
      if (state === "end") return performance.now() - started;
      if (state === "token") visit();
    }
  }

  async #finish(session, tokens, visit = () => {}) {
    const { core, pointer } = session;
    core.setTokens(pointer, tokens);
    for (;;) {
      const { state } = await core.step(pointer, this.#signal);
      visit();
      if (state === "ready") return;
    }
  }

  /** GPU time by kernel; browsers round timestamps to 100 us, so that only sums over many dispatches mean something. */
  async #profile(session, kind, n) {
    const { core, pointer } = session;
    const times = new Map();
    const add = ({ kernel, node, nanoseconds }) => {
      const label = node.replace(/\d+/g, "*"); // the same node of all layers
      const key = `${kernel} ${label}`;
      const entry = times.get(key) ?? { kernel, node: label, dispatches: 0, milliseconds: 0 };
      entry.dispatches++;
      entry.milliseconds += nanoseconds / 1e6;
      times.set(key, entry);
    };
    if (!core.setProfile(pointer, true)) return null;
    try {
      await this.#once(session, kind, n, () => core.dispatches(pointer).forEach(add));
    } finally {
      core.setProfile(pointer, false);
    }
    return [...times.values()].sort((a, b) => b.milliseconds - a.milliseconds);
  }
}
