// SHA-256 (FIPS 180-4) of bytes that come in pieces. WebCrypto has no streaming digest and would need the whole file
// in memory; this is what is left without a dependency. It runs at over 100 MB/s, so only a hash that someone asks for is
// computed.

const first = (n) => {
  const primes = [];
  for (let i = 2; primes.length < n; i++) if (primes.every((p) => i % p)) primes.push(i);
  return primes;
};
const fraction = (x) => ((x - Math.floor(x)) * 2 ** 32) | 0;
const K = Int32Array.from(first(64), (p) => fraction(Math.cbrt(p)));
const H = Int32Array.from(first(8), (p) => fraction(Math.sqrt(p)));

export class Sha256 {
  #state = H.slice();
  #block = new Uint8Array(64);
  #words = new Int32Array(64);
  #held = 0; // bytes in #block
  #size = 0;

  /** @param {Uint8Array} bytes */
  update(bytes) {
    this.#size += bytes.length;
    let at = 0;
    if (this.#held) {
      at = Math.min(64 - this.#held, bytes.length);
      this.#block.set(bytes.subarray(0, at), this.#held);
      this.#held += at;
      if (this.#held < 64) return this;
      this.#blocks(this.#block, 0, 64);
      this.#held = 0;
    }
    const end = at + Math.floor((bytes.length - at) / 64) * 64;
    this.#blocks(bytes, at, end);
    this.#block.set(bytes.subarray(end));
    this.#held = bytes.length - end;
    return this;
  }

  /** The digest in lower-case hex; the object is used up. */
  hex() {
    const bits = this.#size * 8; // exact up to 2^53 bits, a petabyte
    const tail = new Uint8Array(this.#held < 56 ? 64 - this.#held : 128 - this.#held);
    tail[0] = 0x80;
    const view = new DataView(tail.buffer);
    view.setUint32(tail.length - 8, Math.floor(bits / 2 ** 32));
    view.setUint32(tail.length - 4, bits >>> 0);
    this.update(tail);
    return Array.from(this.#state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  }

  #blocks(bytes, from, to) {
    const w = this.#words;
    const s = this.#state;
    for (let at = from; at < to; at += 64) {
      for (let i = 0, p = at; i < 16; i++, p += 4)
        w[i] = (bytes[p] << 24) | (bytes[p + 1] << 16) | (bytes[p + 2] << 8) | bytes[p + 3];
      for (let i = 16; i < 64; i++) {
        const x = w[i - 15];
        const y = w[i - 2];
        const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
        const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
        w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
      }
      let a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
      for (let i = 0; i < 64; i++) {
        const S1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
        const t1 = (h + S1 + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
        const S0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
        const t2 = (S0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        h = g;
        g = f;
        f = e;
        e = (d + t1) | 0;
        d = c;
        c = b;
        b = a;
        a = (t1 + t2) | 0;
      }
      s[0] += a;
      s[1] += b;
      s[2] += c;
      s[3] += d;
      s[4] += e;
      s[5] += f;
      s[6] += g;
      s[7] += h;
    }
  }
}
