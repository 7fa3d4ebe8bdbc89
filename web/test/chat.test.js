// chat.test.js - conversations with a model that has a chat template, in Node on Dawn: tokens and answers are those of
// the native program with the same file.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openDawn } from "./support/dawn.js";
import { hasCore, load } from "./support/dist.js";
import { EXACT, MOST, SYSTEM, TALK, answersOf, chatModel, hasNative, quern as native } from "./support/native.js";

const { Quern } = await load("quern.js");
const { openai } = await load("openai.js");
const skip = hasCore && hasNative ? false : "no quern.wasm, or no native build: scripts/build_web.sh, scripts/build.sh";
const onModel = (name, body) => test(name, { skip }, body);

const [FIRST, SECOND] = TALK;
const greedy = { sampling: { temperature: 0 }, maxTokens: MOST };
const system = { role: "system", content: SYSTEM };
const user = (content) => ({ role: "user", content });

/** Llama 3's layout, by its documentation. */
const layout = (messages) =>
  `<|begin_of_text|>${messages.map(({ role, content }) => `<|start_header_id|>${role}<|end_header_id|>\n\n${content}<|eot_id|>`).join("")}`;
const ASKED = `<|start_header_id|>assistant<|end_header_id|>\n\n`;

let model; // its path
let gpu;
/** @type {import("../src/quern.js").Quern} */
let quern;
let answers; // what `quern chat` says to TALK

const ids = (text) => text.trim().split(/\s+/).map(Number);
const nativeTokens = (text) => ids(native(["tokenize", "-m", model, "--special"], [text]));
const open = (options) => Quern.load(model, { gpu, device: { selfTest: false }, session: { precision: "exact" }, ...options });

before(async () => {
  if (skip) return;
  model = chatModel();
  answers = answersOf(model);
  gpu = await openDawn();
  quern = await open();
});
after(async () => {
  await quern?.close();
  gpu = null;
});

onModel("the tokens of a conversation are the native program's", async () => {
  assert.equal(quern.model.chatTemplate, "llama3");
  const talks = [
    [user("Hello")],
    [system, user(FIRST)],
    [system, user(FIRST), { role: "assistant", content: "Once upon a time." }, user("Grüße, 日本 😀")],
  ];
  for (const messages of talks) {
    assert.deepEqual(await quern.chatTokens(messages), nativeTokens(layout(messages) + ASKED));
    assert.deepEqual(await quern.chatTokens(messages, { addGenerationPrompt: false }), nativeTokens(layout(messages)));
  }
  // What a message says is text, also where it looks like the template.
  const sly = await quern.chatTokens([user("<|eot_id|>")]);
  const [eot] = nativeTokens("<|eot_id|>");
  assert.equal(sly.filter((token) => token === eot).length, 1);
  assert.deepEqual(await quern.chatTokens([user("  Hello \n")]), await quern.chatTokens([user("Hello")]));
});

onModel("greedy answers, token by token, are those of quern run --ids", async () => {
  const prompt = await quern.chatTokens([system, user(FIRST)]);
  const wanted = ids(native(["run", "-m", model, ...EXACT, "--ids", prompt.join(",")])).slice(prompt.length);
  const tokens = [];
  const answer = quern.generate([system, user(FIRST)], greedy);
  for await (const { token } of answer) if (token >= 0) tokens.push(token);
  assert.deepEqual(tokens, wanted);
  const { reason, stop, promptTokens } = await answer.result;
  assert.deepEqual([reason, stop, promptTokens], ["stop", null, prompt.length]);
  // What it stopped at, and did not show, is the end of a turn.
  const { data } = await quern.session.logits([...prompt, ...tokens]);
  assert.deepEqual([data.indexOf(Math.max(...data))], nativeTokens("<|eot_id|>"));
});

onModel("a conversation is that of quern chat; its second turn reads only what is new", async () => {
  const session = await quern.openSession({ precision: "exact" });
  const first = await session.chat(FIRST, { ...greedy, system: SYSTEM }).result;
  assert.deepEqual([first.text, first.reason, first.reusedTokens], [answers[0], "stop", 0]);
  const pieces = [];
  const second = session.chat(SECOND, { ...greedy, onToken: ({ text }) => pieces.push(text) });
  const { text, reason, promptTokens, reusedTokens, tokens } = await second.result;
  assert.equal(text, answers[1]);
  assert.equal(pieces.join(""), answers[1]);
  assert.deepEqual([reason, tokens], ["length", MOST]);
  assert.equal(reusedTokens, first.promptTokens + first.tokens);
  // Behind it come the end of the answer, and the new message.
  const added = await quern.chatTokens([user(SECOND)]);
  assert.equal(promptTokens, first.promptTokens + first.tokens + added.length);
  assert.deepEqual(session.messages, [
    system, user(FIRST), { role: "assistant", content: answers[0] }, user(SECOND), { role: "assistant", content: answers[1] },
  ]);
  // A new system message begins a new conversation; clear does too.
  assert.equal(await session.chat(FIRST, { ...greedy, system: SYSTEM }).text(), answers[0]);
  assert.equal(session.messages.length, 3);
  session.clear();
  await session.chat(FIRST, greedy).result;
  assert.deepEqual(session.messages.map(({ role }) => role), ["user", "assistant"]);
  await session.close();
});

onModel("OpenAI's chat.completions.create, whole and streamed", async () => {
  const session = await quern.openSession({ precision: "exact" });
  const client = openai(quern, { session });
  const ask = { temperature: 0, max_completion_tokens: MOST };
  const messages = [{ role: "developer", content: [{ type: "text", text: SYSTEM }] }, user(FIRST)];
  const whole = await client.chat.completions.create({ ...ask, messages });
  assert.equal(whole.model, "random llama");
  assert.deepEqual(whole.choices, [{
    index: 0, message: { role: "assistant", content: answers[0], refusal: null }, logprobs: null, finish_reason: "stop",
  }]);
  const more = [...messages, whole.choices[0].message, user(SECOND)].map(({ role, content }) => ({ role, content }));
  const stream = await client.chat.completions.create({ ...ask, messages: more, stream: true, stream_options: { include_usage: true } });
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  assert.ok(chunks.length > 5, "piece by piece");
  assert.equal(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join(""), answers[1]);
  assert.equal(chunks.at(-2).choices[0].finish_reason, "length");
  const { prompt_tokens_details: { cached_tokens: cached }, completion_tokens: n } = chunks.at(-1).usage;
  assert.deepEqual([cached, n], [whole.usage.total_tokens, MOST]);
  await session.close();
});

onModel("a conversation that was saved goes on elsewhere as it would have here", async () => {
  const here = await quern.openSession({ precision: "exact" });
  await here.chat(FIRST, { ...greedy, system: SYSTEM }).result;
  const saved = JSON.parse(JSON.stringify(await here.save()));
  await here.close();
  const there = await open();
  try {
    await there.restore(saved);
    assert.deepEqual(there.session.messages, saved.messages);
    const { text, promptTokens } = await there.chat(SECOND, greedy).result;
    assert.equal(text, answers[1]);
    assert.equal(promptTokens, saved.tokens.length + (await there.chatTokens([user(SECOND)])).length);
    // Tokens that are not the conversation's: it is rendered anew.
    await there.restore({ ...saved, talk: false });
    assert.equal((await there.chat(SECOND, greedy).result).promptTokens,
      (await there.chatTokens([...saved.messages, user(SECOND)])).length);
  } finally {
    await there.close();
  }
});

/** Says SECOND after a first turn, and cuts the answer after some tokens with `act`. */
async function cutSecond(talker, act, signal) {
  await talker.chat(FIRST, { ...greedy, system: SYSTEM }).result;
  let shown = "";
  let n = 0;
  await assert.rejects(async () => {
    for await (const { text } of talker.chat(SECOND, { ...greedy, signal })) {
      shown += text;
      if (++n === 6) await act();
    }
  });
  return shown;
}

onModel("an answer that was stopped stays as far as it came, or goes on", async () => {
  const session = await quern.openSession({ precision: "exact" });
  const abort = new AbortController();
  const shown = await cutSecond(session, () => abort.abort(), abort.signal);
  assert.ok(answers[1].startsWith(shown) && shown.length < answers[1].length);
  assert.deepEqual(session.messages.slice(3), [user(SECOND), { role: "assistant", content: shown }]);
  const asked = [...session.messages, user("Why?")];
  const why = await session.chat("Why?", { ...greedy, maxTokens: 2 }).result; // it is not gone on with
  assert.equal(why.promptTokens, (await quern.chatTokens(asked)).length);
  assert.ok(why.reusedTokens > 30);
  session.clear();
  const again = new AbortController();
  const part = await cutSecond(session, () => again.abort(), again.signal);
  let rest = "";
  await session.resume({ onToken: ({ text }) => (rest += text) }).result;
  assert.equal(part + rest, answers[1]);
  assert.deepEqual(session.messages.at(-1), { role: "assistant", content: answers[1] });
  await session.close();
});

onModel("a lost device in the middle of an answer: recover, resume, and the conversation is whole", async () => {
  const shown = await cutSecond(quern, () => quern.loseDevice());
  assert.ok(answers[1].startsWith(shown));
  await quern.recover();
  let rest = "";
  const { text } = await quern.resume({ onToken: (piece) => (rest += piece.text) }).result;
  assert.equal(text, answers[1]);
  assert.equal(shown + rest, answers[1]);
  assert.deepEqual(quern.session.messages.map(({ role }) => role), ["system", "user", "assistant", "user", "assistant"]);
  const { promptTokens, reusedTokens } = await quern.chat("Why?", { ...greedy, maxTokens: 2 }).result;
  assert.ok(reusedTokens > 0 && promptTokens - reusedTokens < 20, "the conversation's keys are used on");
});
