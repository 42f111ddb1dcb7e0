// Types of the package; README.md shows how it is used.

/** One value per speaker: user, other. */
export type Pair = [number, number];

export type EventType =
  | "start_of_turn"
  | "eager_end_of_turn"
  | "turn_resumed"
  | "end_of_turn"
  | "backchannel"
  | "interruption";

/** Why a turn ended. */
export type Trigger = "model" | "timeout" | "other_spoke" | "forced";

/** Speaker 0 is the user, 1 the other. */
export type Speaker = 0 | 1;

/** The settings of a policy; thresholds from 0 to 1, times in seconds of audio. */
export interface PolicySettings {
  end_threshold: number;
  end_silence_secs: number;
  timeout_secs: number;
  eager_threshold: number;
  eager_silence_secs: number;
  start_secs: number;
  overlap_secs: number;
  backchannel_threshold: number;
  backchannel_max_secs: number;
  min_level_dbfs: number;
  speech_range_db: number;
}

export type Preset = "fast" | "balanced" | "patient";

export const PRESETS: Readonly<Record<Preset, PolicySettings>>;

/** The settings of a preset in which some values are replaced; RangeError if one is wrong. */
export function policySettings(policy: Preset, values?: Partial<PolicySettings>): PolicySettings;

// ---- predictions in this process ----

/** What an application can act on. */
export interface TurnEvent {
  type: EventType;
  speaker: Speaker;
  /** Time of the decision, in seconds of audio since the start. */
  timeS: number;
  probability: number;
  /** Number of turns that this speaker has ended before. */
  turnIndex: number;
  /** Of end_of_turn; null for other events. */
  trigger: Trigger | null;
}

/** The model's prediction after one frame of audio: 20 ms with the model of the package. */
export interface Prediction {
  frame: number;
  /** End of the frame, in seconds of audio since the start. No later audio was used. */
  timeS: number;
  /** Who last spoke alone; null before anyone has. */
  holder: Speaker | null;
  /** Probability that the other one has the floor next; null without a holder. */
  pShift: number | null;
  pHold: number | null;
  /** Probability that each speaker is speaking now. */
  vad: Pair;
  /** Share of the speech of the next 0-0.6 s expected from each speaker. */
  pNow: Pair;
  /** The same for 0.6-2 s. */
  pFuture: Pair;
  /** Probability that each speaker holds the floor next. */
  pNext: Pair;
  /** Probability of a backchannel now or within 0.5 s. Experimental. */
  pBackchannel: Pair;
  /** State of the last layer: the user's row, then the other's. */
  latent: Float32Array;
  /** State of the per-speaker layer, likewise. */
  latentSpeaker: Float32Array;
  /** Whether each speaker is speaking now. */
  active: [boolean, boolean];
  /** RMS level of each channel in this frame, from -120 dB re full scale. */
  levelDbfs: Pair;
  events: TurnEvent[];
}

/** What the package uses of onnxruntime-web and onnxruntime-node. */
export interface OnnxRuntime {
  InferenceSession: { create(model: Uint8Array, options?: object): Promise<unknown> };
  Tensor: new (type: "float32", values: Float32Array, shape: number[]) => unknown;
}

/** The JSON that `turnstream export` writes beside a model. */
export interface Metadata {
  format_version: number;
  name: string;
  version: string;
  sample_rate_hz: number;
  frame_samples: number;
  frame_rate_hz: number;
  weights_sha256: string;
  [field: string]: unknown;
}

export interface ModelSettings {
  /** The module of ONNX Runtime: `import * as ort from "onnxruntime-web/wasm"`. */
  ort: OnnxRuntime;
  /**
   * Address or path of an .onnx file, or its bytes. Without it the model of the package; "int8" is
   * the same in int8.
   */
  model?: string | URL | Uint8Array | ArrayBuffer;
  /** The JSON beside the model, its address or path; without it the model's address with .json. */
  metadata?: string | URL | Metadata;
}

/** A loaded model, which several predictors can share. */
export class Engine {
  static load(settings: ModelSettings): Promise<Engine>;
  private constructor();
  readonly metadata: Metadata;
  readonly frameSamples: number;
  readonly sampleRate: number;
  /** Let go of the model's memory. */
  release(): Promise<void>;
}

export interface PolicyChoice {
  /** Default balanced; null for no events. */
  policy?: Preset | null;
  /** Values that replace those of the preset. */
  policyValues?: Partial<PolicySettings>;
}

export interface ConversationSettings extends PolicyChoice {
  /** Of the pushed audio, an integer from 8000 to 192000 Hz; default 16000. */
  sampleRate?: number;
  /** 1: the user; 2 (default): user and other. */
  channels?: 1 | 2;
}

/** One conversation. How its audio is cut changes no prediction, not even in the last bit. */
export class TurnPredictor {
  static create(settings: ModelSettings & ConversationSettings): Promise<TurnPredictor>;
  static create(settings: { model: Engine } & ConversationSettings): Promise<TurnPredictor>;
  private constructor();
  readonly engine: Engine;
  readonly sampleRate: number;
  readonly channels: 1 | 2;
  /**
   * Add audio, in [-1, 1] or 16 bits, interleaved; gives the predictions of the frames that it
   * completes. At most 60 s of audio may wait in calls that are not answered yet.
   */
  pushAudio(samples: Float32Array | Int16Array): Promise<Prediction[]>;
  /** Fill the last frame with silence; gives its prediction. More audio may follow. */
  flush(): Promise<Prediction[]>;
  /** Forget the conversation: the next frame is frame 0 of a new one. */
  reset(): Promise<void>;
  /** Change the policy from the next frame on. */
  configure(choice: { policy: Preset | null; policyValues?: Partial<PolicySettings> }): void;
  /** End a speaker's turn now; gives its end_of_turn, or nothing outside a turn. */
  endTurn(speaker?: Speaker): Promise<TurnEvent[]>;
}

// ---- predictions of a server ----

export interface ClientSettings {
  sampleRate?: number;
  channels?: 1 | 2;
  encoding?: "pcm_s16le" | "pcm_f32le";
  /** Which predictions are sent: "all", "none" or every Nth. */
  frames?: "all" | "none" | number;
  latents?: "none" | "final" | "all";
  /** Name of one of the server's presets; without it the server's default. */
  policy?: string | null;
  policyValues?: Partial<PolicySettings>;
  token?: string;
}

/** The messages of the server (PROTOCOL.md), and those of the connection. */
export interface ClientMessages {
  begin: BeginMessage;
  configured: { type: "configured"; settings: Record<string, unknown> };
  frame: FrameMessage;
  latent: LatentMessage;
  event: EventMessage;
  start_of_turn: EventMessage;
  eager_end_of_turn: EventMessage;
  turn_resumed: EventMessage;
  end_of_turn: EventMessage;
  backchannel: EventMessage;
  interruption: EventMessage;
  warning: { type: "warning"; code: string; message: string; missed?: number };
  error: { type: "error"; code: string; message: string };
  termination: TerminationMessage;
  lost: { resume_s: number };
  resumed: { type: "resumed"; received: number; after_ms: number };
  /** Null after a good end. */
  end: TurnstreamError | null;
}

export interface BeginMessage {
  type: "begin";
  session: string;
  model: { name: string; version: string; sha256: string };
  frame_rate_hz: number;
  latent_sizes: { latent: number; latent_speaker: number };
  settings: Record<string, unknown>;
  policies: string[];
  resume_token: string | null;
  resume_s: number;
  saves: boolean;
  pause_model: boolean;
}

export interface FrameMessage {
  type: "frame";
  frame: number;
  time_s: number;
  holder: Speaker | null;
  p_shift: number | null;
  p_hold: number | null;
  vad: Pair;
  p_now: Pair;
  p_future: Pair;
  p_next: Pair;
  p_backchannel: Pair;
  /** Since the audio with the frame's last sample was pushed; null if that is not known. */
  latency_ms: number | null;
}

export interface EventMessage {
  type: EventType;
  speaker: Speaker;
  time_s: number;
  probability: number;
  turn_index: number;
  trigger?: Trigger;
}

export interface LatentMessage {
  type: "latent";
  frame: number;
  kind: "latent" | "latent_speaker";
  rows: number;
  columns: number;
  /** The user's row first. */
  values: Float32Array;
}

export interface TerminationMessage {
  type: "termination";
  reason: string;
  [field: string]: unknown;
}

/** Why there is no session, or none any more. */
export class TurnstreamError extends Error {
  constructor(code: string, message: string);
  code: string;
}

/** A client of a turnstream server, which resumes a lost connection by itself. */
export class TurnstreamClient {
  constructor(url: string | URL, settings?: ClientSettings);
  readonly begin: BeginMessage | null;
  /** Bytes that wait to be taken by the network. */
  readonly waitingBytes: number;
  /** Returns a function that stops listening. */
  on<Type extends keyof ClientMessages>(
    type: Type,
    listener: (message: ClientMessages[Type]) => void,
  ): () => boolean;
  /** Open the session. */
  connect(): Promise<BeginMessage>;
  /** Audio of any length, in [-1, 1] or 16 bits, interleaved. */
  pushAudio(samples: Float32Array | Int16Array): void;
  /** Change frames, latents, policy or its values from here on. */
  configure(
    change: Pick<ClientSettings, "frames" | "latents" | "policyValues">
      & { policy?: string } & Partial<PolicySettings>,
  ): void;
  endTurn(speaker?: Speaker): void;
  flush(): void;
  reset(): void;
  keepAlive(): void;
  /** No more audio; gives the last message once everything due has come. */
  close(): Promise<TerminationMessage>;
  abort(): void;
  resume(): void;
}
