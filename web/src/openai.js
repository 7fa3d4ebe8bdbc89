// The shapes of OpenAI's chat API over a Quern: `openai(quern).chat.completions.create({messages, stream: true})`.

import { QuernError } from "./errors.js";

/** Parameters that mean something here; "model" is repeated in the answer, nothing else is done with it. */
const KNOWN = [
  "messages", "model", "stream", "stream_options", "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop",
  "seed", "n", "signal", "top_k", "min_p", "repetition_penalty",
];
/** Parameters without an effect on the answer, which programs send all the same. */
const IGNORED = ["user", "store", "metadata", "service_tier", "parallel_tool_calls", "safety_identifier"];

function checkParameters(parameters) {
  for (const [name, value] of Object.entries(parameters)) {
    // null is how OpenAI's clients say "the default".
    if (KNOWN.includes(name) || IGNORED.includes(name) || value === undefined || value === null) continue;
    throw new QuernError("unsupported", `the parameter "${name}" is not supported`, { details: { param: name } });
  }
  if ((parameters.n ?? 1) !== 1) throw new QuernError("unsupported", "n: one choice is made", { details: { param: "n" } });
  if (!Array.isArray(parameters.messages) || parameters.messages.length === 0)
    throw new QuernError("argument", "messages: a list of at least one", { details: { param: "messages" } });
}

/** A message's content as text: a string, or parts that are all text. */
function plainMessage({ role, content }) {
  const known = role === "developer" ? "system" : role;
  if (Array.isArray(content) && content.every(({ type }) => type === "text"))
    return { role: known, content: content.map(({ text }) => text).join("") };
  if (typeof content === "string") return { role: known, content };
  throw new QuernError("unsupported", `messages: the content of a ${role} message is not text`);
}

/** OpenAI's defaults: temperature 1, no top_p. */
const generateOptions = (p) => ({
  sampling: {
    temperature: p.temperature ?? 1,
    topP: p.top_p ?? 1,
    topK: p.top_k ?? undefined,
    minP: p.min_p ?? undefined,
    repetitionPenalty: p.repetition_penalty ?? undefined,
    seed: p.seed ?? undefined,
  },
  maxTokens: p.max_completion_tokens ?? p.max_tokens ?? undefined,
  stop: p.stop ?? [],
  signal: p.signal ?? undefined,
});

const finishReason = (reason) => (reason === "stop" ? "stop" : "length");

const usageOf = ({ promptTokens, reusedTokens, tokens }) => ({
  prompt_tokens: promptTokens,
  completion_tokens: tokens,
  total_tokens: promptTokens + tokens,
  prompt_tokens_details: { cached_tokens: reusedTokens },
});

class Completions {
  #session;
  #model;

  constructor(session, model) {
    this.#session = session;
    this.#model = model;
  }

  /** A completion, or with `stream: true` an async iterator of chunks. */
  async create(parameters) {
    checkParameters(parameters);
    const head = {
      id: `chatcmpl-${crypto.randomUUID()}`,
      created: Math.floor(Date.now() / 1000),
      model: parameters.model ?? this.#model,
    };
    const messages = parameters.messages.map(plainMessage);
    const generation = this.#session.generate(messages, generateOptions(parameters));
    return parameters.stream ? chunks(generation, head, parameters.stream_options ?? {}) : whole(generation, head);
  }
}

async function whole(generation, head) {
  const result = await generation.result;
  const message = { role: "assistant", content: result.text, refusal: null };
  const choice = { index: 0, message, logprobs: null, finish_reason: finishReason(result.reason) };
  return { ...head, object: "chat.completion", choices: [choice], usage: usageOf(result) };
}

async function* chunks(generation, head, { include_usage: withUsage = false }) {
  const usage = withUsage ? { usage: null } : {};
  const chunk = (delta, finish_reason = null) => ({
    ...head,
    object: "chat.completion.chunk",
    choices: [{ index: 0, delta, logprobs: null, finish_reason }],
    ...usage,
  });
  yield chunk({ role: "assistant", content: "" });
  for await (const { text } of generation) if (text) yield chunk({ content: text });
  const result = await generation.result;
  yield chunk({}, finishReason(result.reason));
  if (withUsage) yield { ...head, object: "chat.completion.chunk", choices: [], usage: usageOf(result) };
}

/**
 * @param {import("./quern.js").Quern} quern
 * @param {{session?: import("./quern.js").Session}} [options] by default the Quern's own session
 */
export const openai = (quern, { session = quern.session } = {}) => ({
  chat: { completions: new Completions(session, quern.model.name || quern.model.architecture) },
});
