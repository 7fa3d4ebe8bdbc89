// How well a model predicts a text, computed as `quern perplexity` does: the text is cut into pieces of window - 1
// tokens, each runs behind a begin token with an empty cache, and -log p of every token counts.

import { QuernError } from "./errors.js";

async function sumOfPiece(session, piece, signal) {
  const { core, vocabulary } = session;
  let sum = 0;
  session.forget();
  await session.eachLogits(piece, true, signal, async ({ address, rows, firstRow }) => {
    for (let i = 0; i < rows && firstRow + i + 1 < piece.length; i++) {
      sum += core.call("qn_surprise", address + 4 * i * vocabulary, vocabulary, piece[firstRow + i + 1]);
      await core.loop.breathe();
    }
  });
  return sum;
}

/** @returns {Promise<{perplexity: number, natsPerToken: number, tokens: number, seconds: number, window: number}>} */
export async function perplexityOf(session, { tokens, bos, window, signal, onProgress }) {
  if (bos < 0) throw new QuernError("unsupported", "the model names no begin token");
  if (tokens.length === 0) throw new QuernError("argument", "the text is empty");
  if (!(window >= 2)) throw new QuernError("argument", "a window has at least 2 tokens");
  const started = performance.now();
  let sum = 0;
  for (let at = 0; at < tokens.length; at += window - 1) {
    sum += await sumOfPiece(session, [bos, ...tokens.slice(at, at + window - 1)], signal);
    onProgress({ phase: "perplexity", loaded: Math.min(at + window - 1, tokens.length), total: tokens.length });
  }
  const natsPerToken = sum / tokens.length;
  const seconds = (performance.now() - started) / 1000;
  return { perplexity: Math.exp(natsPerToken), natsPerToken, tokens: tokens.length, seconds, window };
}
