/** Quern: 4-bit language models on WebGPU, in browsers and in Node. */

/** A web address (relative ones: to the page), a file the user picked, a file of OPFS, bytes; in Node also a path or an
 * open file of node:fs/promises. */
export type ModelSource = string | URL | Blob | FileSystemFileHandle | ArrayBuffer | ArrayBufferView | NodeFile;

/** An open file of node:fs/promises. */
export interface NodeFile {
  stat(): Promise<{ size: number }>;
  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }>;
}

export type ErrorCode =
  | "argument" | "state" | "io" | "format" | "unsupported" | "memory" | "gpu memory" | "gpu" | "device lost" | "limit"
  | "context" | "internal"
  /** details: {status, retry}: HTTP's status; whether another try may help */
  | "network"
  /** details: {actual, expected} */
  | "hash"
  /** details: {needed, available}: bytes of storage */
  | "quota";

export class QuernError extends Error {
  constructor(code: ErrorCode, message: string, more?: { details?: Record<string, unknown>; cause?: unknown });
  readonly name: "QuernError";
  readonly code: ErrorCode;
  /** Numbers about it; of "gpu memory": MemoryNumbers. */
  readonly details: Record<string, unknown>;
}

/** What a "gpu memory" error knows; null: nobody said. */
export interface MemoryNumbers {
  /** At least so much is needed: what would be held with what was refused. */
  neededBytes: number | null;
  /** The limit that was given, `device.gpuMemory`. */
  gpuLimitBytes: number | null;
  /** What was held then; not there where nothing was loaded. */
  gpuBytes?: number;
  gpuPeakBytes?: number;
}

export interface Progress {
  /** download: to storage; verify: hashing; load: to the GPU. */
  phase: "download" | "verify" | "load" | "perplexity";
  loaded: number;
  total: number;
}

export interface DeviceOptions {
  /** A part of the adapter's name, or its position; default: the best GPU. */
  adapter?: string;
  /** Most bytes of GPU memory that may be held; more is a "gpu memory" error. */
  gpuMemory?: number;
  /** Core WebGPU only: no shader-f16, no subgroups, core limits. */
  baseline?: boolean;
  /** Keep WebGPU's bounds checks in all kernels (slower). */
  checked?: boolean;
  /** Force this kernel row wherever it is usable. */
  route?: string;
  /** Try each kernel row once, and leave out those that compute wrongly (true). What was found is kept for later visits
   * with this browser's version, where models are kept: see `cache`. */
  selfTest?: boolean;
}

export interface SessionOptions {
  /** Positions; default: the model's own context up to 4096 and what fits. */
  ctx?: number;
  /** Most tokens of one step over a prompt; default: chosen for the device. */
  chunk?: number;
  /** "auto" may round activations to 8 bits where that is faster; "exact" does not. */
  precision?: "auto" | "exact";
  /** How keys and values are kept; default: f16 on a GPU with "auto", else f32. */
  kv?: "f32" | "f16" | "q8_0";
}

export interface StoreOptions {
  /** false: models of addresses are not kept, nor what the self-test found; "reload": downloaded and tried again (true). */
  cache?: boolean | "reload";
  /** Node: the folder to keep models and the self-test's results in; without it nothing is kept there. */
  cacheDir?: string;
}

export interface LoadOptions extends StoreOptions {
  onProgress?: (progress: Progress) => void;
  /** Lines of the core: level 1 error, 2 warning, 3 information, 4 debug. */
  onLog?: (level: number, line: string) => void;
  signal?: AbortSignal;
  device?: DeviceOptions;
  /** Of the session that generate and chat use. */
  session?: SessionOptions;
  /** In a worker of its own (true; not in Node). */
  worker?: boolean;
  /** Hash of the file in hex: checked, else a "hash" error. */
  sha256?: string;
  /** Size of the file in bytes: checked. */
  size?: number;
  /** Sent with every request for the model. */
  headers?: Record<string, string>;
  /** Where quern.wasm is; default: beside quern.js. */
  wasm?: string | URL | ArrayBuffer | WebAssembly.Module;
  /** Without a worker: the WebGPU to use instead of navigator.gpu, or in Node of the package "webgpu". */
  gpu?: unknown;
}

export interface Sampling {
  /** 0: always the likeliest token (0.8) */
  temperature?: number;
  topK?: number;
  /** (0.9) */
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  /** How many tokens count for the penalty (64). */
  repetitionWindow?: number;
  /** The same seed gives the same text; default: random. */
  seed?: number | bigint;
}

export interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

export type Prompt = string | Message[] | number[] | Int32Array;

export interface Token {
  /** What may be shown by now: a part of a character or of a stop string is held back. */
  text: string;
  /** -1: the rest of the text, at the end. */
  token: number;
}

export interface GenerateOptions {
  sampling?: Sampling;
  /** Default: until the context is full. */
  maxTokens?: number;
  /** The text ends before any of these. */
  stop?: string | string[];
  /** Draws of the same seed that came before. */
  firstDraw?: number;
  signal?: AbortSignal;
  onToken?: (token: Token) => void;
}

export interface GenerationResult {
  text: string;
  /** stop: by an end token or stop string; length: maxTokens; context: it is full. */
  reason: "stop" | "length" | "context";
  /** The stop string that was met. */
  stop: string | null;
  seed: number | bigint;
  promptTokens: number;
  /** Those of the prompt whose keys and values were there. */
  reusedTokens: number;
  tokens: number;
  promptMs: number;
  generationMs: number;
}

/** The tokens of an answer. It begins at once, and waits while nobody reads; leaving a loop over it ends it. */
export interface Generation extends AsyncIterable<Token> {
  /** Resolves at the end; asking for it without a loop lets the tokens pass. */
  readonly result: Promise<GenerationResult>;
  text(): Promise<string>;
  [Symbol.asyncIterator](): AsyncGenerator<Token, void, void>;
}

/** Plain data: JSON. */
export interface SavedSession {
  version: 1;
  tokens: number[];
  messages: Message[];
  /** The tokens are those of the messages, with the answers as they were generated. */
  talk?: boolean;
}

export interface Logits {
  rows: number;
  /** Position of the first row. */
  firstRow: number;
  /** [rows, nVocab] */
  data: Float32Array;
}

/** A conversation. It does one thing at a time: what is asked meanwhile waits its turn. */
export interface Session {
  readonly ctx: number;
  readonly chunk: number;
  /** What was said in `chat`; an answer that was cut is there as far as it was shown. */
  readonly messages: Message[];
  /** Answers a prompt; undefined: goes on from the session's tokens. Messages need a model with a chat template. */
  generate(prompt: Prompt | undefined, options?: GenerateOptions): Generation;
  /** Goes on with an answer that was aborted, or, after recover, lost with its device. */
  resume(options?: Pick<GenerateOptions, "signal" | "onToken">): Generation;
  /** Says something in the session's conversation. system: begins a new one. */
  chat(content: string, options?: GenerateOptions & { system?: string }): Generation;
  /** Forgets the conversation. */
  clear(): void;
  logits(tokens: ArrayLike<number>, options?: { all?: boolean; signal?: AbortSignal }): Promise<Logits>;
  tokens(): Promise<number[]>;
  save(): Promise<SavedSession>;
  /** Keys and values are computed again, with the next answer. */
  restore(saved: SavedSession): Promise<void>;
  close(): Promise<void>;
}

export interface DeviceInfo {
  name: string;
  vendor: string;
  driver: string;
  backend: string;
  typeName: "discrete" | "integrated" | "software" | "unknown";
  type: number;
  baseline: boolean;
  f16: boolean;
  subgroups: boolean;
  timestamps: boolean;
  timestampsInPass: boolean;
  subgroupMin: number;
  subgroupMax: number;
  maxBufferBytes: number;
  maxBindingBytes: number;
  maxStorageBuffers: number;
  maxWorkgroupBytes: number;
  maxWorkgroupInvocations: number;
  maxWorkgroupSize: number[];
  maxGrid: number;
  storageAlignment: number;
  uniformAlignment: number;
}

export interface ModelInfo {
  architecture: string;
  name: string;
  fileBytes: number;
  nParameters: number;
  weightGpuBytes: number;
  nVocab: number;
  nCtxTrain: number;
  nEmbd: number;
  nLayers: number;
  nHeads: number;
  nKvHeads: number;
  headDim: number;
  nFf: number;
  ropeFreqBase: number;
  rmsEps: number;
  tiedOutput: boolean;
  hasTokenizer: boolean;
  /** "gpt2 / llama-bpe", or why there is none. */
  tokenizer: string;
  /** "llama3"; "" when there is none; "unsupported: ..." */
  chatTemplate: string;
  kvBytesPerToken: number;
}

export interface Info {
  version: string;
  device: DeviceInfo;
  model: ModelInfo;
  /** objects: of WebGPU. */
  memory: { gpuBytes: number; gpuPeakBytes: number; wasmBytes: number; objects: number };
  sessions: { id: number; ctx: number; chunk: number; tokens: number }[];
}

export interface Route {
  name: string;
  needs: "baseline" | "f16" | "subgroups";
  usable: boolean;
  preferred: boolean;
  tested: boolean;
  wrong: boolean;
  inexact: boolean;
}

export interface BenchOptions extends Omit<SessionOptions, "ctx"> {
  /** Sizes of prompts (512); 0: none. */
  prompt?: number | number[];
  /** Numbers of tokens generated one by one (128); 0: none. */
  generate?: number | number[];
  /** Tokens in the context before the test (0). */
  depth?: number;
  /** Runs of each test, after one to warm up (5). */
  runs?: number;
  /** Also the GPU time of each kernel. Browsers round timestamps to 100 us: only sums over many dispatches count. */
  profile?: boolean;
  signal?: AbortSignal;
  onResult?: (result: BenchResult) => void;
}

export interface BenchResult {
  /** "pp512", "tg128" */
  test: string;
  depth: number;
  /** The median run's. */
  tokensPerSecond: number;
  rates: number[];
  /** Without timestamps: null. */
  kernels?: { kernel: string; node: string; dispatches: number; milliseconds: number }[] | null;
}

export interface Bench {
  device: string;
  model: string;
  results: BenchResult[];
  gpuBytes: number;
  gpuPeakBytes: number;
}

export interface PerplexityOptions extends Omit<SessionOptions, "ctx"> {
  /** Tokens of a piece, begin token included (512). */
  window?: number;
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
}

export interface Perplexity {
  perplexity: number;
  natsPerToken: number;
  tokens: number;
  seconds: number;
  window: number;
}

export interface InspectOptions extends StoreOptions {
  signal?: AbortSignal;
  /** gpuMemory: what does not fit is a `problem`. */
  device?: DeviceOptions;
  /** The device that it is for: `quern.device` of another model. Default: a GPU with core WebGPU's limits. */
  deviceInfo?: DeviceInfo;
  /** Of the session that is counted in. */
  session?: SessionOptions;
  worker?: boolean;
  sha256?: string;
  headers?: Record<string, string>;
  wasm?: string | URL | ArrayBuffer | WebAssembly.Module;
}

/** GPU bytes of a model with one session. */
export interface MemoryPlan {
  /** What the session would choose. */
  ctx: number;
  chunk: number;
  weights: number;
  /** Keys and values of the whole context. */
  kv: number;
  /** Activations, inputs, outputs, parameters. */
  working: number;
  total: number;
}

/** A model before it is loaded. */
export interface Inspection {
  /** What the file does not say is 0 or empty. */
  model: ModelInfo;
  /** Bytes of the file by the type of its tensors: {Q4_0: 5000000, F32: 20000}. */
  types: Record<string, number>;
  /** null: it cannot be said, since the model does not run here. */
  memory: MemoryPlan | null;
  /** Bytes that keeping the download would take, and those that are left (null: nobody says); null: nothing. */
  storage: { needed: number; available: number | null } | null;
  /** Why it would not load: "unsupported", "gpu memory" (details: MemoryNumbers), "quota", ...; null: nothing is known. */
  problem: QuernError | null;
}

/** A model on a device, with a session of its own. */
export class Quern {
  private constructor();
  static load(source: ModelSource, options?: LoadOptions): Promise<Quern>;
  /** What a model's file says, and what loading it would take. Reads the head of the file only; needs no GPU. */
  static inspect(source: ModelSource, options?: InspectOptions): Promise<Inspection>;

  readonly device: DeviceInfo;
  readonly model: ModelInfo;
  readonly session: Session;
  openSession(options?: SessionOptions): Promise<Session>;

  /** As session.generate, of the Quern's own session; likewise the next four. */
  generate(prompt: Prompt | undefined, options?: GenerateOptions): Generation;
  resume(options?: Pick<GenerateOptions, "signal" | "onToken">): Generation;
  chat(content: string, options?: GenerateOptions & { system?: string }): Generation;
  save(): Promise<SavedSession>;
  restore(saved: SavedSession): Promise<void>;

  /** bos: put the begin token first (as the model's file asks); special: read special tokens in the text as such. */
  tokenize(text: string, options?: { bos?: boolean; special?: boolean }): Promise<number[]>;
  /** special: with the text of special tokens. */
  detokenize(tokens: ArrayLike<number>, options?: { special?: boolean }): Promise<string>;
  chatTokens(messages: Message[], options?: { addGenerationPrompt?: boolean }): Promise<number[]>;

  perplexity(text: string, options?: PerplexityOptions): Promise<Perplexity>;
  bench(options?: BenchOptions): Promise<Bench>;
  info(): Promise<Info>;
  routes(): Promise<Route[]>;

  /** After a "device lost" error: builds engine, model (from storage, where it is kept) and sessions anew, with their
   * tokens. An answer that was cut goes on with `resume`. */
  recover(options?: { signal?: AbortSignal; onProgress?: (progress: Progress) => void }): Promise<Info>;
  /** Testing: loses the device, as a driver's reset would. */
  loseDevice(): Promise<void>;
  /** Frees everything. objects: WebGPU objects that were left, 0. */
  close(): Promise<{ objects: number }>;
}

export interface StoredModel {
  name: string;
  url: string;
  /** Of the whole file; null: not known yet. */
  size: number | null;
  /** Bytes that are there. */
  stored: number;
  complete: boolean;
  /** What the file was checked against. */
  sha256: string | null;
  validator: string | null;
}

/** The models in this origin's storage (Node: in cacheDir). */
export function listModels(options?: StoreOptions): Promise<StoredModel[]>;
/** By name or address; true when it was there. */
export function deleteModel(which: string, options?: StoreOptions): Promise<boolean>;
