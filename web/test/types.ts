// types.ts - a program that uses all of quern.d.ts; compiled by package.test.js, not run.
import { Quern, QuernError, deleteModel, listModels, type Generation, type Message, type SavedSession } from "quern";
import { openai } from "quern/openai";

export async function everything(file: File, handle: FileSystemFileHandle): Promise<string> {
  const abort = new AbortController();
  const quern = await Quern.load("model.gguf", {
    onProgress: ({ phase, loaded, total }) => console.log(phase.toUpperCase(), loaded / total),
    onLog: (level, line) => console.log(level + 1, line.trim()),
    signal: abort.signal,
    device: { gpuMemory: 2e9, baseline: true },
    session: { ctx: 2048, precision: "exact", kv: "q8_0" },
    worker: true,
    sha256: "00",
    headers: { authorization: "Bearer x" },
    wasm: new URL("quern.wasm", "https://example.org"),
  });
  for (const source of [file, handle, new ArrayBuffer(1), new URL("https://example.org/m.gguf")])
    await (await Quern.load(source, { cache: false, worker: false })).close();

  const { model, memory: plan, problem } = await Quern.inspect(file, { session: { ctx: 64 }, deviceInfo: quern.device });
  if (problem?.code === "gpu memory" || !plan) throw problem;
  console.log(model.name, plan.total / 1e6);
  // @ts-expect-error the plan of one that does not run is null
  (await Quern.inspect(file)).memory.total;

  const messages: Message[] = [{ role: "user", content: "Hello" }];
  const answer: Generation = quern.generate(messages, {
    sampling: { temperature: 0.7, topK: 40, topP: 0.9, minP: 0.05, repetitionPenalty: 1.1, seed: 1n },
    maxTokens: 10,
    stop: ["\n"],
    onToken: ({ text, token }) => console.log(text.length + token),
  });
  for await (const { text } of answer) console.log(text);
  const { reason, promptTokens, tokens } = await answer.result;
  const why: "stop" | "length" | "context" = reason;
  await quern.chat("Hello", { system: "Be brief." }).text();
  const saved: SavedSession = await quern.save();
  await quern.restore(JSON.parse(JSON.stringify(saved)));
  const session = await quern.openSession({ ctx: 64 });
  const { data } = await session.logits(await quern.tokenize("a", { bos: true }), { all: true });
  const rate = (await quern.bench({ prompt: [16, 32], profile: true })).results[0]?.kernels?.[0]?.milliseconds ?? 0;
  const { perplexity } = await quern.perplexity("text", { window: 128 });
  const { memory, device } = await quern.info();
  try {
    await quern.resume({ signal: abort.signal }).result;
  } catch (error) {
    if (error instanceof QuernError && error.code === "device lost") await quern.recover();
    // @ts-expect-error a code that there is not
    if (error instanceof QuernError && error.code === "lost") await quern.recover();
  }
  for (const { name, complete } of await listModels()) if (!complete) await deleteModel(name);

  const client = openai(quern, { session });
  const whole = await client.chat.completions.create({ messages, max_tokens: 5 });
  const stream = await client.chat.completions.create({ messages, stream: true });
  for await (const chunk of stream) console.log(chunk.choices[0]?.delta.content?.length);
  // @ts-expect-error no such option
  quern.generate("a", { maxToken: 1 });
  // @ts-expect-error no such role
  quern.generate([{ role: "robot", content: "" }]);
  await quern.close();
  const numbers = promptTokens + tokens + data.length + rate + perplexity + memory.gpuBytes + device.maxGrid;
  return `${why} ${numbers} ${whole.choices[0].message.content}`;
}
