// The pre-tokenizer's regular expressions, matched by JavaScript's own engine.

export class Regexes {
  #memory;
  #open = new Map();
  #last = 0;

  /** @param {import("./memory.js").Memory} memory */
  constructor(memory) {
    this.#memory = memory;
  }

  imports() {
    return {
      regex_open: (pattern, size) => this.#compile(this.#memory.text(pattern, size)),
      regex_close: (regex) => void this.#open.delete(regex),
      regex_scan: (regex, text, size, spans) => this.#scan(regex, this.#memory.text(text, size), spans),
    };
  }

  #compile(pattern) {
    try {
      this.#open.set(++this.#last, new RegExp(pattern, "gu"));
      return this.#last;
    } catch {
      return 0;
    }
  }

  #scan(regex, text, spans) {
    const found = spansOf(this.#open.get(regex), text);
    const address = found.length ? this.#memory.allocate(4 * found.length) : 0;
    if (address) this.#memory.u32.set(found, address >>> 2);
    this.#memory.setWord(spans, address);
    return found.length / 2;
  }
}

/** Starts and ends of all matches, in bytes of UTF-8. */
export function spansOf(regex, text) {
  const spans = [];
  let unit = 0; // as far as bytes are counted
  let byte = 0;
  const bytesTo = (end) => {
    for (; unit < end; unit++) {
      const code = text.charCodeAt(unit);
      // Each half of a surrogate pair counts 2 of its 4 bytes.
      byte += code < 0x80 ? 1 : code < 0x800 || (code & 0xf800) === 0xd800 ? 2 : 3;
    }
    return byte;
  };
  for (const match of text.matchAll(regex)) {
    const start = bytesTo(match.index);
    spans.push(start, bytesTo(match.index + match[0].length));
  }
  return spans;
}
