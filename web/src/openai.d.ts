/** The shapes of OpenAI's chat API over a Quern. */
import type { Quern, Session } from "./quern.js";

export interface ChatMessage {
  role: "system" | "developer" | "user" | "assistant";
  content: string | { type: "text"; text: string }[];
}

/** Other parameters are refused ("unsupported"), but for user, store, metadata, service_tier, parallel_tool_calls and
 * safety_identifier, which change no answer, and for those that are null. */
export interface CompletionParameters {
  messages: ChatMessage[];
  /** Repeated in the answer. */
  model?: string;
  stream?: boolean | null;
  stream_options?: { include_usage?: boolean } | null;
  /** (1) */
  temperature?: number | null;
  /** (1) */
  top_p?: number | null;
  max_tokens?: number | null;
  max_completion_tokens?: number | null;
  stop?: string | string[] | null;
  seed?: number | null;
  n?: 1 | null;
  /** Quern's own. */
  top_k?: number | null;
  min_p?: number | null;
  repetition_penalty?: number | null;
  signal?: AbortSignal;
  user?: string;
  [ignored: string]: unknown;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details: { cached_tokens: number };
}

export type FinishReason = "stop" | "length";

export interface ChatCompletion {
  id: string;
  object: "chat.completion";
  created: number;
  model: string;
  choices: [
    { index: 0; message: { role: "assistant"; content: string; refusal: null }; logprobs: null; finish_reason: FinishReason },
  ];
  usage: Usage;
}

export interface ChatCompletionChunk {
  id: string;
  object: "chat.completion.chunk";
  created: number;
  model: string;
  choices: {
    index: 0;
    delta: { role?: "assistant"; content?: string };
    logprobs: null;
    finish_reason: FinishReason | null;
  }[];
  /** With stream_options.include_usage: in the last chunk, which has no choices. */
  usage?: Usage | null;
}

export interface Completions {
  create(parameters: CompletionParameters & { stream: true }): Promise<AsyncGenerator<ChatCompletionChunk, void, void>>;
  create(parameters: CompletionParameters & { stream?: false | null }): Promise<ChatCompletion>;
}

/** session: by default the Quern's own. Requests wait for each other. */
export function openai(quern: Quern, options?: { session?: Session }): { chat: { completions: Completions } };
