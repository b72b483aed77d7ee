import type { Log } from '../log.js';
import type { Signature } from '../protocol/signature.js';
import type { Tensor } from '../protocol/tensor.js';
import type { DimensionNames } from './check.js';

/** Where a model lies on this machine. */
export interface ModelFiles {
  /** The model's file, or a folder in which the engine knows what to look for. */
  readonly path: string;
}

/** What a load may ask for. An engine refuses values it cannot follow and ignores names it does not know. */
export type EngineOptions = Readonly<Record<string, unknown>>;

/** What a load found out about the model. */
export interface Loaded {
  /** What it takes and gives when a request names no signature. */
  readonly signature: Signature;
  /**
   * Whether the model takes more than its signature says, or the signature says nothing: the shell then checks neither
   * inputs nor the names of outputs, and the engine refuses with `invalid` what does not fit.
   */
  readonly open?: boolean;
  /** All signatures by name, where the format knows several (TensorFlow); the default one is among them. */
  readonly signatures?: ReadonlyMap<string, Signature>;
  /** Variable dimensions that must be equal across inputs, where the format names them. */
  readonly dimensionNames?: DimensionNames;
  /**
   * Whether the model declares its first axis, in every input and output, as a batch of any size. The shell then joins
   * requests, and checks on real ones that rows do not influence one another before it trusts the declaration.
   */
  readonly batchable: boolean;
  /** Inferences worth having in flight at once: 1 for an engine that computes on the calling thread. */
  readonly lanes: number;
  /** Where it computes: `cpu`, `cuda:0`, … */
  readonly device: string;
  /** What whoever operates it should know, in sentences; above all that a wanted device was not to be had, and why. */
  readonly notes: readonly string[];
}

/** One run of a model: one request, or several joined along the first axis. */
export interface InferCall {
  /** Checked against the signature before, unless the model is open: names, datatypes and shapes fit. */
  readonly inputs: readonly Tensor[];
  /** Undefined means all, in the signature's order; otherwise those, in the order asked. Checked before, unless the model is open. */
  readonly outputs: readonly string[] | undefined;
  /** Name of the signature; undefined: the default one. Checked before. */
  readonly signature: string | undefined;
}

/** One loaded model. An instance is loaded once, and never used after `unload`. */
export interface Engine {
  /** Reads the model; `not_found`, `invalid` or `unsupported`, in the library's own words, when it cannot. */
  load(files: ModelFiles, options: EngineOptions): Promise<Loaded>;
  /** Runs the model. Rejects with `invalid` for what only the model can find wrong, `internal` when it fails. */
  infer(call: InferCall): Promise<Tensor[]>;
  /**
   * Says why the model answers the call as it does, in tensors of the model's own choice; `unsupported` when this model
   * does not. Absent where no model of the kind can.
   */
  explain?(call: InferCall): Promise<Tensor[]>;
  /** Frees the model's memory. Nothing may be in flight. */
  unload(): Promise<void>;
}

/** A kind of engine, as a runtime process is started with one. */
export interface EngineKind {
  /** What model metadata calls it, such as `onnx_onnxv1`. */
  readonly platform: string;
  /** Loads the native library, which the first load of a process would pay for otherwise. */
  importLibrary(defaults: EngineOptions): Promise<void>;
  /** `log`: where what the model itself prints goes; nowhere without one. */
  create(defaults: EngineOptions, log?: Log): Engine;
}

/** A kind that a spare can rehearse with before anybody asks for a model. */
export interface RehearsableKind extends EngineKind {
  /** An engine with a tiny model of its own, wherever it is pointed at: input `x`, FP32, shape [1]. */
  createSample(defaults: EngineOptions): Engine;
}
