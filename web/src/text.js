// From tokens to text: bytes that are not whole yet, and stop strings that may be on their way, are held back.

/** Cuts a text that comes in pieces before the first of the stop strings. */
export class StopText {
  #stops;
  #held = "";
  /** @type {string | null} the stop string that was met */
  met = null;

  /** @param {string[]} stops */
  constructor(stops) {
    this.#stops = stops.filter((stop) => stop !== "");
  }

  /** The text that may be shown by now. */
  push(text) {
    if (this.met !== null) return "";
    const all = this.#held + text;
    const first = this.#first(all);
    if (first) {
      this.met = first.stop;
      this.#held = "";
      return all.slice(0, first.at);
    }
    const keep = this.#couldBegin(all);
    this.#held = all.slice(all.length - keep);
    return all.slice(0, all.length - keep);
  }

  /** What is held back, when no more comes. */
  flush() {
    const held = this.#held;
    this.#held = "";
    return held;
  }

  #first(text) {
    let first = null;
    for (const stop of this.#stops) {
      const at = text.indexOf(stop);
      if (at >= 0 && (!first || at < first.at)) first = { at, stop };
    }
    return first;
  }

  /** The length of the longest end of the text that a stop string could begin with. */
  #couldBegin(text) {
    const most = Math.min(text.length, Math.max(0, ...this.#stops.map((stop) => stop.length - 1)));
    for (let n = most; n > 0; n--) {
      const end = text.slice(text.length - n);
      if (this.#stops.some((stop) => stop.startsWith(end))) return n;
    }
    return 0;
  }
}

/** The text of an answer, token by token. */
export class AnswerText {
  #utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
  #stop;
  all = "";

  constructor(stops = []) {
    this.#stop = new StopText(stops);
  }

  get met() {
    return this.#stop.met;
  }

  /** @param {Uint8Array} bytes of a token; empty for a special one */
  push(bytes) {
    return this.#add(this.#stop.push(this.#utf8.decode(bytes, { stream: true })));
  }

  flush() {
    const rest = this.#stop.push(this.#utf8.decode());
    return this.#add(rest + this.#stop.flush());
  }

  #add(text) {
    this.all += text;
    return text;
  }
}
