// The demo: a page over quern.js, in plain JavaScript.

import { Quern, deleteModel, listModels } from "../quern.js";
import { drawKernels } from "./chart.js";
import { element } from "./element.js";

const BUILT_IN = new URL("../models/quern-tales-q4_0.gguf", import.meta.url).href;
const $ = (id) => document.getElementById(id);

let quern = null; // the loaded model
let talks = false; // it has a chat template
let work = null; // AbortController of what is under way
let unfinished = null; // the entry of an answer that was stopped, or cut off by a lost device
let lost = false; // the device is
let device = null; // the one that the last model was on
let seen = null; // the newest look at a model: {source, wish, found, abort}
const measured = { bench: null, perplexity: null }; // the last ones, of this model
const STARTS = ["Once upon a time", "The king had three daughters", "In a deep forest there lived"];

// ---- small things -------------------------------------------------------------------------------

const size = (bytes) => {
  if (bytes === null) return "size unknown";
  const units = ["B", "KB", "MB", "GB"];
  let i = 0;
  for (; bytes >= 1000 && i < 3; i++) bytes /= 1000;
  return `${bytes.toFixed(i && bytes < 100 ? 1 : 0)} ${units[i]}`;
};
const rate = (n, ms) => (n > 0 && ms > 0 ? `${(1000 * n / ms).toFixed(1)} tok/s` : "–");

const smallButton = (text, onclick) => element("button", { type: "button", className: "small", onclick }, text);

const canChat = ({ chatTemplate }) => Boolean(chatTemplate) && !chatTemplate.startsWith("unsupported");

/** Rows of a list of terms: those that have something to say. */
function fill(list, rows) {
  list.replaceChildren(...rows.filter(([, text]) => text)
    .map(([term, text]) => element("div", {}, element("dt", {}, term), element("dd", {}, text))));
}

/** What an error knows in numbers, and what helps. */
function explain({ code, details = {} }) {
  if (code === "gpu memory") {
    const { neededBytes, gpuLimitBytes, gpuBytes } = details;
    const rows = [["Needed, at least", neededBytes], ["Allowed by the settings", gpuLimitBytes], ["Taken when it ran out", gpuBytes]];
    const advice = ["Take a shorter context, or keys and values as q8_0 (Settings, With the next load).", "Load a smaller model."];
    if (gpuLimitBytes) advice.unshift("Allow more GPU memory in the settings.");
    return { rows, advice };
  }
  if (code !== "quota") return { rows: [], advice: [] };
  const rows = [["Needed", details.needed], ["Left in this browser", details.available]];
  return { rows, advice: ["Delete a model that is kept here.", "Load the file from this device: nothing is kept then."] };
}

function showProblem(error) {
  lost ||= error?.code === "device lost";
  const { rows, advice } = explain(error ?? {});
  $("problem").hidden = false;
  $("problem").firstElementChild.textContent = error?.code ? `${error.code}: ${error.message}` : String(error);
  fill($("numbers"), rows.map(([term, bytes]) => [term, bytes && size(bytes)]));
  $("advice").replaceChildren(...advice.map((text) => element("li", {}, text)));
  $("recover").hidden = !lost;
}

/** What may be pressed now. */
function update() {
  const loaded = quern !== null;
  const busy = work !== null;
  $("prompt").disabled = !loaded;
  $("send").disabled = !loaded || busy;
  $("send").hidden = busy && loaded;
  $("stop").hidden = !(busy && loaded);
  $("resume").hidden = busy || lost || !unfinished;
  $("clear").hidden = busy || !loaded || !$("log").querySelector(".story, .user");
  $("load").disabled = busy;
  $("measure").disabled = !loaded || busy;
  $("judge").disabled = !loaded || busy || !lastText();
  $("log").ariaBusy = String(busy && loaded);
  $("for-system").hidden = !talks;
  $("prompt-label").textContent = talks ? "Your message" : "The beginning of a story";
  $("prompt").placeholder = !loaded ? "Load a model first" : talks ? "Ask something" : STARTS[0];
  for (const button of $("log").querySelectorAll(".note button")) button.disabled = busy;
}

/** Runs one thing at a time, with a signal that Stop and Cancel raise. */
async function busyWith(task) {
  if (work) return;
  work = new AbortController();
  $("problem").hidden = true;
  update();
  try {
    await task(work.signal);
  } catch (error) {
    if (error?.name !== "AbortError" || lost) showProblem(error);
  } finally {
    work = null;
    update();
  }
}

// ---- loading ------------------------------------------------------------------------------------

function wantedSource() {
  const kind = $("source").value;
  if (kind === "builtin") return BUILT_IN;
  if (kind === "file") return $("file").files[0] ?? null;
  return $("url").value.trim() || null;
}

function options() {
  const form = new FormData($("options"));
  const number = (name) => (form.get(name) === "" ? undefined : Number(form.get(name)));
  return {
    sampling: {
      temperature: number("temperature"), topK: number("topK"), topP: number("topP"), minP: number("minP"),
      repetitionPenalty: number("repetitionPenalty"), seed: number("seed"),
    },
    maxTokens: number("maxTokens"),
    system: form.get("system").trim(),
    session: { ctx: number("ctx"), precision: form.get("precision"), kv: form.get("kv") || undefined },
    device: { gpuMemory: number("gpuMemory") && Math.round(1e6 * number("gpuMemory")) },
  };
}

/** A look at a model before it is loaded; one that was begun for the same wishes serves again. */
function look(source) {
  const { session, device: bounds } = options();
  const wish = JSON.stringify([session, bounds]);
  if (seen?.source === source && seen.wish === wish) return seen.found;
  seen?.abort.abort();
  const abort = new AbortController();
  const asked = { session, device: bounds, signal: abort.signal, ...(device && { deviceInfo: device }) };
  $("look").ariaBusy = "true";
  const mine = { source, wish, abort, found: Quern.inspect(source, asked) };
  mine.found.then(showLook, () => {
    if (seen !== mine) return;
    seen = null; // asking again tries again
    $("look").ariaBusy = "false";
  });
  return (seen = mine).found;
}

function showLook({ model, types, memory, storage, problem }) {
  const kinds = Object.entries(types).sort(([, a], [, b]) => b - a).map(([type]) => type).slice(0, 2).join(", ");
  $("look").hidden = false;
  $("look").ariaBusy = "false";
  $("look-name").textContent = model.name || "A model without a name";
  fill($("look-facts"), [
    ["File", `${size(model.fileBytes)}, ${kinds}`],
    ["Parameters", model.nParameters >= 1e9 ? `${(model.nParameters / 1e9).toFixed(1)} billion` : `${(model.nParameters / 1e6).toFixed(1)} million`],
    ["It can", !model.hasTokenizer ? "not read text here" : canChat(model) ? "chat" : "continue text"],
    ["Still to download", storage && size(storage.needed)],
    ["GPU memory", memory && size(memory.total)],
    ["Its context", memory && `${size(memory.kv)} for ${memory.ctx} tokens`],
  ]);
  const [needed, allowed] = problem ? explain(problem).rows : [];
  $("look-problem").textContent = !problem ? "" : needed
    ? `It does not fit: ${size(needed[1])} ${problem.code === "quota" ? "of storage" : "of GPU memory"} needed, ${size(allowed[1])} there.`
    : `It cannot be loaded: ${problem.message}`;
}

/** When a file was picked, an address given, or the settings changed. What is shown stays until there is something new:
 * the change may come with a press on Load, which must not move away. */
async function lookAhead() {
  const source = $("source").value === "builtin" ? null : wantedSource();
  if (!source) return;
  await look(source).catch((error) => {
    if (error.name === "AbortError") return;
    $("look").hidden = true;
    showProblem(error);
  });
}

/** Whether it would load, before the model that is there is given up. */
async function check(source, signal) {
  const stop = () => seen?.abort.abort();
  signal.addEventListener("abort", stop);
  try {
    const { problem, memory, model } = await withProgress(() => look(source), "Looking at the file");
    // Without a device the limits are those that every GPU has.
    if (problem && (device || problem.code !== "limit")) throw problem;
    $("progress-what").textContent = `${model.name}${memory ? `, ${size(memory.total)} of GPU memory` : ""}`;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

const phases = { download: "Downloading", load: "Loading into the GPU", verify: "Checking" };

function showProgress({ phase, loaded, total }) {
  // After the weights the session is opened, which is compiling kernels: nothing is known of its length.
  const ready = phase === "load" && loaded === total;
  $("progress-label").textContent = ready ? "Compiling kernels" : phases[phase];
  if (total && !ready) $("progress").value = loaded / total;
  else $("progress").removeAttribute("value");
  $("progress-text").textContent = total && !ready ? `${size(loaded)} of ${size(total)}` : `${size(loaded)} are on the GPU`;
}

/** Shows the bar while something loads. */
async function withProgress(task, what = "Loading") {
  $("progress-label").textContent = what;
  $("progress-text").textContent = "";
  $("progress").removeAttribute("value");
  $("loading").hidden = false;
  try {
    return await task();
  } finally {
    $("loading").hidden = true;
  }
}

async function load(source, signal) {
  $("progress-what").textContent = "";
  if (source !== BUILT_IN) await check(source, signal);
  await quern?.close();
  quern = unfinished = null;
  lost = talks = false;
  measured.bench = measured.perplexity = null;
  $("measured").textContent = "";
  $("chart").replaceChildren();
  $("copy").hidden = true;
  $("where").textContent = "loading…";
  $("log").replaceChildren();
  update();
  try {
    const { session, device: bounds } = options();
    quern = await withProgress(() => Quern.load(source, { signal, onProgress: showProgress, session, device: bounds }));
    device = quern.device;
    globalThis.quern = quern; // for the console
    talks = canChat(quern.model);
    $("where").textContent = `${quern.model.name || "model"} on ${quern.device.name}`;
    welcome();
    await showFigures();
    $("prompt").disabled = false;
    $("prompt").focus({ preventScroll: true });
  } catch (error) {
    $("where").textContent = "no model loaded";
    throw error;
  } finally {
    await showModels();
  }
}

async function showModels() {
  const models = await listModels().catch(() => []);
  $("kept").hidden = models.length === 0;
  $("models").replaceChildren(...models.map((model) => {
    const file = new URL(model.url).pathname.split("/").pop();
    const stored = model.complete ? size(model.size) : `${size(model.stored)} of ${size(model.size)} so far`;
    const remove = smallButton("Delete", async () => {
      await deleteModel(model.name).catch(showProblem);
      await showModels();
    });
    remove.ariaLabel = `Delete ${file}`;
    return element("li", {}, element("span", { title: model.url }, `${file}, ${stored}`), remove);
  }));
}

async function showFigures() {
  const info = await quern.info();
  const session = info.sessions[0];
  $("s-memory").textContent = size(info.memory.gpuBytes);
  $("s-wasm").textContent = size(info.memory.wasmBytes);
  $("s-adapter").textContent = `${info.device.name}${info.device.subgroups ? ", subgroups" : ""}${info.device.f16 ? ", f16" : ""}`;
  if (session) $("s-context").textContent = `${session.tokens} of ${session.ctx}`;
}

// ---- talking ------------------------------------------------------------------------------------

function entry(className, text = "", who = "") {
  const item = element("li", { className });
  if (who) item.append(element("span", { className: "who" }, who));
  item.append(document.createTextNode(text));
  $("log").append(item);
  $("log").scrollTop = $("log").scrollHeight;
  return item;
}

const note = (text) => entry("note", text);

/** The empty conversation: what the model does, and for one that tells stories some beginnings. */
function welcome() {
  $("log").replaceChildren();
  if (talks) return note("Ready to talk.");
  const item = note("This model continues what you write. Try one of these:\n");
  for (const text of STARTS) item.append(smallButton(text, () => say(text)), " ");
}

/** Streams an answer into its entry, and keeps the figures. */
async function write(generation, item) {
  const text = item.lastChild;
  const log = $("log");
  const started = performance.now();
  let n = 0;
  let first = 0;
  item.classList.add("writing");
  try {
    for await (const piece of generation) {
      if (!first) {
        first = performance.now();
        $("s-first").textContent = `${((first - started) / 1000).toFixed(2)} s`;
      }
      if (piece.token >= 0) n++;
      const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
      text.appendData(piece.text);
      if (n % 8 === 0) $("s-rate").textContent = rate(n - 1, performance.now() - first);
      if (atEnd) log.scrollTop = log.scrollHeight;
    }
    const result = await generation.result;
    $("s-rate").textContent = rate(n - 1, performance.now() - first); // of this part, where the answer was resumed
    const read = result.promptTokens - result.reusedTokens;
    if (read) $("s-prompt").textContent = rate(read, result.promptMs);
    if (result.reason === "context") note("The context is full: start a new conversation.");
  } catch (error) {
    if (error?.code === "device lost" || error?.name === "AbortError") unfinished = item;
    throw error;
  } finally {
    item.classList.remove("writing");
    await showFigures().catch(() => {}); // without a device there are none
  }
}

function say(prompt) {
  return busyWith(async (signal) => {
    const { sampling, maxTokens, system } = options();
    unfinished = null;
    if (talks) {
      entry("user", prompt, "You");
      const first = quern.session.messages.length === 0;
      const answer = quern.chat(prompt, { sampling, maxTokens, signal, ...(first && system && { system }) });
      await write(answer, entry("model", "", quern.model.name || "Model"));
    } else {
      const item = entry("story");
      item.append(element("b", {}, prompt), document.createTextNode(""));
      await write(quern.generate(prompt, { sampling, maxTokens, signal }), item);
    }
  });
}

/** Goes on with the answer that was stopped or cut off. */
async function goOn(signal) {
  const item = unfinished;
  unfinished = null;
  update();
  if (item) await write(quern.resume({ signal }), item);
}

/** After a lost device: everything anew, and the answer goes on where it broke off. */
const recover = () => busyWith(async (signal) => {
  await withProgress(() => quern.recover({ signal, onProgress: showProgress }));
  lost = false;
  await goOn(signal);
});

// ---- measuring ----------------------------------------------------------------------------------

const measure = () => busyWith(async (signal) => {
  $("measured").textContent = "measuring…";
  try {
    measured.bench = await quern.bench({ prompt: [128], generate: [32], runs: 3, profile: true, signal });
  } catch (error) {
    $("measured").textContent = "";
    throw error;
  }
  const { results } = measured.bench;
  const speeds = results.map(({ test, tokensPerSecond }) => `${test}: ${tokensPerSecond.toFixed(1)} tok/s`);
  $("measured").textContent = speeds.join(", ");
  $("copy").hidden = false;
  const { kernels } = results.at(-1);
  if (kernels?.length) drawKernels($("chart"), kernels, 32);
  else $("chart").textContent = "This browser gives no GPU timestamps.";
});

const lastText = () => {
  const item = [...$("log").querySelectorAll(".story, .model, .user")].at(-1);
  return [...(item?.childNodes ?? [])].filter(({ className }) => className !== "who").map((node) => node.textContent).join("");
};

const judge = () => busyWith(async (signal) => {
  $("measured").textContent = "measuring…";
  try {
    measured.perplexity = await quern.perplexity(lastText(), { signal });
  } finally {
    $("measured").textContent = "";
  }
  const { perplexity, tokens } = measured.perplexity;
  $("measured").textContent = `perplexity ${perplexity.toFixed(2)} over ${tokens} tokens`;
  $("copy").hidden = false;
});

/** The last measurements in Markdown. */
function asTable({ bench, perplexity }) {
  const lines = [`| ${quern.model.name} on ${quern.device.name} | |`, "| --- | --- |"];
  for (const { test, tokensPerSecond } of bench?.results ?? []) lines.push(`| ${test} | ${tokensPerSecond.toFixed(1)} tok/s |`);
  if (perplexity) lines.push(`| perplexity, ${perplexity.tokens} tokens | ${perplexity.perplexity.toFixed(3)} |`);
  const kernels = bench?.results.at(-1).kernels;
  if (kernels?.length) lines.push("", "| kernel | node | dispatches | ms |", "| --- | --- | --- | --- |");
  for (const k of kernels ?? []) lines.push(`| ${k.kernel} | ${k.node} | ${k.dispatches} | ${k.milliseconds.toFixed(2)} |`);
  return `${lines.join("\n")}\n`;
}

// ---- the page -----------------------------------------------------------------------------------

$("source").onchange = () => {
  $("by-url").hidden = $("source").value !== "url";
  $("by-file").hidden = $("source").value !== "file";
  $("look").hidden = true;
  lookAhead();
};
$("url").onchange = $("file").onchange = lookAhead;
$("options").onchange = () => $("look").hidden || lookAhead();
$("choose").onsubmit = (event) => {
  event.preventDefault();
  const source = wantedSource();
  if (!source) showProblem($("source").value === "file" ? "Choose a file first." : "Give an address first.");
  else busyWith((signal) => load(source, signal));
};
$("say").onsubmit = (event) => {
  event.preventDefault();
  const prompt = $("prompt").value;
  if (!prompt.trim() || work || !quern) return;
  $("prompt").value = "";
  say(prompt);
};
$("prompt").onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("say").requestSubmit();
};
document.onkeydown = (event) => {
  if (event.key === "Escape") work?.abort();
};
$("stop").onclick = $("cancel").onclick = () => work?.abort();
$("resume").onclick = () => busyWith(goOn);
$("recover").onclick = recover;
$("measure").onclick = measure;
$("judge").onclick = judge;
$("copy").onclick = async () => {
  try {
    await navigator.clipboard.writeText(asTable(measured));
    $("measured").textContent = "copied";
  } catch (error) {
    showProblem(error);
  }
};
$("clear").onclick = () => {
  quern.session.clear();
  unfinished = null;
  welcome();
  update();
  $("prompt").focus();
};
$("theme").onclick = () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
};
addEventListener("pagehide", () => quern?.close());
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());

update();
if (navigator.gpu) {
  await showModels();
  await busyWith((signal) => load(BUILT_IN, signal));
} else {
  showProblem("This browser has no WebGPU. Recent versions of Chrome, Edge, Firefox and Safari have it.");
}
