// api.test.js - what needs no core: stop strings, calls between page and worker, OpenAI's shapes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { QuernError } from "../src/errors.js";
import { openai } from "../src/openai.js";
import { Generation } from "../src/quern.js";
import { spansOf } from "../src/regex.js";
import { Client, localPorts, serve } from "../src/rpc.js";
import { AnswerText, StopText } from "../src/text.js";

// ---- text -----------------------------------------------------------------------------------------

test("a stop string is cut out wherever the pieces end", () => {
  const text = "one two\n\nUser: three";
  for (let size = 1; size <= text.length; size++) {
    const stop = new StopText(["\n\nUser:", "four"]);
    let shown = "";
    for (let at = 0; at < text.length; at += size) shown += stop.push(text.slice(at, at + size));
    assert.equal(shown + stop.flush(), "one two");
    assert.equal(stop.met, "\n\nUser:");
  }
});

test("what cannot become a stop string is not held back", () => {
  const stop = new StopText(["abcd", "cx"]);
  assert.equal(stop.push("1ab"), "1");
  assert.equal(stop.push("c"), "");
  assert.equal(stop.push("e"), "abce");
  assert.equal(stop.push("abc"), "");
  assert.equal(stop.push("x"), "ab"); // the one that comes first
  assert.equal(stop.met, "cx");
  const none = new StopText(["", "END"]);
  assert.equal(none.push("text E"), "text ");
  assert.equal(none.flush(), "E");
});

test("bytes of a character wait for the rest", () => {
  const text = new AnswerText(["!"]);
  const bytes = new TextEncoder().encode("é😀!x");
  assert.deepEqual(Array.from(bytes, (byte) => text.push(Uint8Array.of(byte))), ["", "é", "", "", "", "😀", "", ""]);
  assert.equal(text.all, "é😀");
  const cut = new AnswerText();
  cut.push(bytes.subarray(0, 1));
  assert.equal(cut.flush(), "\ufffd");
});

test("matches are told in bytes of UTF-8", () => {
  const text = "aé 😀\u20ac b";
  const bytes = new TextEncoder().encode(text);
  const spans = spansOf(/\p{L}+|\s+(?!\S)|[^\s\p{L}]+/gu, text);
  const pieces = [];
  for (let i = 0; i < spans.length; i += 2) pieces.push(new TextDecoder().decode(bytes.subarray(spans[i], spans[i + 1])));
  assert.deepEqual(pieces, ["aé", "😀\u20ac", "b"]);
  assert.deepEqual(spansOf(/x*/gu, "ax"), [0, 0, 1, 2, 2, 2]);
});

// ---- calls ----------------------------------------------------------------------------------------

function connect(methods) {
  const [here, there] = localPorts();
  serve(there, methods);
  return new Client(here);
}

const turns = async (n = 5) => {
  for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve));
};

test("values and errors cross", async () => {
  const client = connect({
    add: (a, b) => a + b,
    fail() {
      throw new QuernError("limit", "too much", { details: { most: 3 } });
    },
    break: () => null.x,
  });
  assert.equal(await client.call("add", [1, 2]), 3);
  await assert.rejects(client.call("fail"), (error) =>
    error instanceof QuernError && error.code === "limit" && error.message === "too much" && error.details.most === 3);
  await assert.rejects(client.call("break"), { code: "internal", message: /TypeError/ });
  await assert.rejects(client.call("nothing"), { code: "internal" });
  client.fail(new QuernError("state", "it is closed"));
  await assert.rejects(client.call("add", [1, 2]), { code: "state" });
});

test("a signal ends the call here and there", async () => {
  let seen = null;
  const client = connect({
    wait: (context) =>
      new Promise((_, reject) => context.signal.addEventListener("abort", () => reject((seen = context.signal.reason)))),
  });
  const abort = new AbortController();
  const call = client.call("wait", [], { signal: abort.signal });
  await turns();
  abort.abort(new Error("enough"));
  await assert.rejects(call, /enough/);
  await turns();
  assert.equal(seen.name, "AbortError");
  await assert.rejects(client.call("wait", [], { signal: AbortSignal.abort() }), { name: "AbortError" });
});

/** A generator of numbers as the host's generate. */
const counter = (made) => ({
  async generate(n, context) {
    for (let i = 0; i < n; i++) {
      await context.room();
      context.signal.throwIfAborted();
      made.count = i + 1;
      context.emit({ text: `${i} `, token: i });
    }
    return { text: "all", reason: "length" };
  },
});

const generation = (client, n, options) => new Generation((how) => client.call("generate", [n], how), options);

test("tokens come in order, and no faster than they are read", async () => {
  const made = { count: 0 };
  const tokens = generation(connect(counter(made)), 500);
  await turns(20);
  assert.equal(made.count, 64);
  const seen = [];
  for await (const { token } of tokens) {
    seen.push(token);
    assert.ok(made.count <= token + 130);
  }
  assert.deepEqual(seen, Array.from({ length: 500 }, (_, i) => i));
  assert.equal((await tokens.result).text, "all");
});

test("who asks for the result only, or listens, keeps nobody waiting", async () => {
  assert.equal(await generation(connect(counter({})), 500).text(), "all");
  const late = generation(connect(counter({})), 500);
  await turns(20);
  assert.equal((await late.result).text, "all");
  let n = 0;
  await generation(connect(counter({})), 500, { onToken: () => n++ }).result;
  assert.equal(n, 500);
});

test("leaving the loop stops the generation", async () => {
  const made = { count: 0 };
  const tokens = generation(connect(counter(made)), 1e6);
  for await (const { token } of tokens) if (token === 10) break;
  await assert.rejects(tokens.result, { name: "AbortError" });
  const { count } = made;
  await turns(20);
  assert.equal(made.count, count);
});

test("an abort reaches the loop", async () => {
  const abort = new AbortController();
  const tokens = generation(connect(counter({})), 1e6, { signal: abort.signal });
  await assert.rejects(async () => {
    for await (const { token } of tokens) if (token === 5) abort.abort();
  }, { name: "AbortError" });
});

// ---- OpenAI ---------------------------------------------------------------------------------------

/** A Quern that answers with its prompt's last message, word by word. */
function echo(reason = "stop") {
  const calls = [];
  const session = {
    generate(messages, options) {
      calls.push({ messages, options });
      const words = messages.at(-1).content.match(/\S+\s*/g);
      const client = connect({
        generate(context) {
          words.forEach((text, token) => context.emit({ text, token }));
          return { text: words.join(""), reason, promptTokens: 7, reusedTokens: 3, tokens: words.length };
        },
      });
      return new Generation((how) => client.call("generate", [], how), options);
    },
  };
  return { calls, client: openai({ session, model: { name: "echo", architecture: "none" } }) };
}

const messages = [{ role: "user", content: "hello big world" }];

test("a completion has OpenAI's shape", async () => {
  const { client, calls } = echo();
  const answer = await client.chat.completions.create({
    messages, model: "any", temperature: 0.5, top_p: 0.9, max_tokens: 9, stop: "X", seed: 4, user: "me", tools: null,
  });
  assert.match(answer.id, /^chatcmpl-/);
  assert.ok(Number.isInteger(answer.created));
  const { id, created, ...rest } = answer;
  assert.deepEqual(rest, {
    model: "any",
    object: "chat.completion",
    choices: [{ index: 0, message: { role: "assistant", content: "hello big world", refusal: null }, logprobs: null, finish_reason: "stop" }],
    usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10, prompt_tokens_details: { cached_tokens: 3 } },
  });
  const { sampling, maxTokens, stop } = calls[0].options;
  assert.deepEqual([sampling.temperature, sampling.topP, sampling.seed, maxTokens, stop], [0.5, 0.9, 4, 9, "X"]);
});

test("a stream of chunks has it too", async () => {
  const { client } = echo("context");
  const stream = await client.chat.completions.create({ messages, stream: true, stream_options: { include_usage: true } });
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  assert.ok(chunks.every(({ id, object }) => id === chunks[0].id && object === "chat.completion.chunk"));
  assert.deepEqual(chunks.map(({ choices }) => choices[0]?.delta),
    [{ role: "assistant", content: "" }, { content: "hello " }, { content: "big " }, { content: "world" }, {}, undefined]);
  assert.deepEqual(chunks.map(({ choices }) => choices[0]?.finish_reason), [null, null, null, null, "length", undefined]);
  assert.equal(chunks.at(-1).usage.total_tokens, 10);
  assert.equal(chunks[0].usage, null);
});

test("what is not supported is refused, and not ignored", async () => {
  const { create } = echo().client.chat.completions;
  const call = (more) => echo().client.chat.completions.create({ messages, ...more });
  assert.equal(typeof create, "function");
  await assert.rejects(call({ tools: [] }), { code: "unsupported", details: { param: "tools" } });
  await assert.rejects(call({ n: 2 }), { code: "unsupported", details: { param: "n" } });
  await assert.rejects(call({ logit_bias: {} }), { code: "unsupported" });
  await assert.rejects(call({ messages: [] }), { code: "argument" });
  await assert.rejects(call({ messages: [{ role: "user", content: [{ type: "image_url" }] }] }), { code: "unsupported" });
  const parts = await call({ messages: [{ role: "user", content: [{ type: "text", text: "a" }, { type: "text", text: "b" }] }] });
  assert.equal(parts.choices[0].message.content, "ab");
});
