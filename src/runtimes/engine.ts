import type { Signature } from '../protocol/signature.js';
import type { Tensor } from '../protocol/tensor.js';

/** Where a model lies on this machine. */
export interface ModelFiles {
  /** The model's file, or a folder in which the engine knows what to look for. */
  readonly path: string;
}

/** What a load may ask for. An engine refuses values it cannot follow and ignores names it does not know. */
export type EngineOptions = Readonly<Record<string, unknown>>;

/** One loaded model. An instance is loaded once, and never used after `unload`. */
export interface Engine {
  /** Reads the model and says what it takes; `not_found`, `invalid` or `unsupported` when it cannot. */
  load(files: ModelFiles, options: EngineOptions): Promise<Signature>;
  /** Runs the model. `outputs` undefined means all, in the model's order; otherwise those, in the order asked. */
  infer(inputs: readonly Tensor[], outputs: readonly string[] | undefined): Promise<Tensor[]>;
  /** Frees the model's memory. Nothing may be in flight. */
  unload(): Promise<void>;
}

/** A kind of engine, as a runtime process is started with one. */
export interface EngineKind {
  /** What model metadata calls it, such as `onnx_onnxv1`. */
  readonly platform: string;
  /** Loads the native library, which the first load of a process would pay for otherwise. */
  importLibrary(): Promise<void>;
  create(defaults: EngineOptions): Engine;
  /** An engine that loads a tiny model of its own, wherever it is pointed at: input `x`, FP32, shape [1]. */
  createSample(): Engine;
}
