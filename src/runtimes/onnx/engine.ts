import { basename } from 'node:path';
import type { InferenceSession } from 'onnxruntime-node';
import { AppError, messageOf } from '../../errors.js';
import type { Signature, TensorSpec } from '../../protocol/signature.js';
import type { Tensor } from '../../protocol/tensor.js';
import type { DimensionNames } from '../check.js';
import type { Engine, EngineOptions, InferCall, Loaded, ModelFiles, RehearsableKind } from '../engine.js';
import { findModelFile } from './files.js';
import { type OnnxOptions, readOptions } from './options.js';
import { datatypeOf, fromOrt, toOrt } from './types.js';

type Ort = typeof import('onnxruntime-node');

let library: Promise<Ort> | undefined;

/** Imports ONNX Runtime once (about 30 ms of native code), from whoever needs it first. */
function ort(): Promise<Ort> {
  library ??= import('onnxruntime-node').then((module) => {
    const loaded = 'default' in module ? (module.default as Ort) : module;
    // its errors are thrown as well, and printing them again would go to stderr past our log
    loaded.env.logLevel = 'fatal';
    return loaded;
  });
  return library;
}

/** The smallest model there is, y = Identity(x). */
const TINY = 'CAg6NwoQCgF4EgF5IghJZGVudGl0eRIBdFoPCgF4EgoKCAgBEgQKAggBYg8KAXkSCgoICAESBAoCCAFCBAoAEBE=';

/** ONNX models by ONNX Runtime. */
export const onnx: RehearsableKind = {
  platform: 'onnx_onnxv1',
  async importLibrary() {
    await ort();
  },
  create: (defaults) => new OnnxEngine(defaults),
  createSample: () => new OnnxEngine({}, Buffer.from(TINY, 'base64')),
};

class OnnxEngine implements Engine {
  private loaded: { ort: Ort; session: InferenceSession } | undefined;

  /** `bytes`: the model itself, in place of what `load` is pointed at. */
  constructor(
    private readonly defaults: EngineOptions,
    private readonly bytes?: Uint8Array,
  ) {}

  async load(files: ModelFiles, options: EngineOptions): Promise<Loaded> {
    const wanted = readOptions({ ...this.defaults, ...options });
    const [path, loaded] = await Promise.all([this.bytes ? files.path : findModelFile(files.path), ort()]);
    let session: InferenceSession;
    try {
      const { InferenceSession } = loaded;
      session = await (this.bytes
        ? InferenceSession.create(this.bytes, sessionOptions(wanted))
        : InferenceSession.create(path, sessionOptions(wanted)));
    } catch (error) {
      // where the file lies on this machine is nobody's business
      const message = messageOf(error).replaceAll(path, basename(path));
      const code = /^Unsupported data type/.test(message) ? 'unsupported' : 'invalid';
      throw new AppError(code, `ONNX Runtime cannot load the model: ${message}`, { cause: error });
    }
    try {
      const described = describe(session);
      this.loaded = { ort: loaded, session };
      return described;
    } catch (error) {
      await session.release();
      throw error;
    }
  }

  async infer({ inputs, outputs }: InferCall): Promise<Tensor[]> {
    if (!this.loaded) throw new AppError('not_ready', 'the model is not loaded');
    const { ort, session } = this.loaded;
    const feeds: Record<string, InstanceType<Ort['Tensor']>> = {};
    for (const input of inputs) feeds[input.name] = toOrt(ort.Tensor, input);
    const wanted = outputs ?? session.outputNames;
    let results: InferenceSession.ReturnType;
    try {
      results = await (outputs ? session.run(feeds, [...outputs]) : session.run(feeds));
    } catch (error) {
      throw new AppError('internal', `the model failed: ${messageOf(error)}`, { cause: error });
    }
    return wanted.map((name) => {
      const output = results[name];
      if (output) return fromOrt(name, output);
      throw new AppError('internal', `the model gave no output "${name}"`);
    });
  }

  async unload(): Promise<void> {
    const session = this.loaded?.session;
    this.loaded = undefined;
    await session?.release();
  }
}

function sessionOptions(options: OnnxOptions): InferenceSession.SessionOptions {
  return { ...options, executionProviders: [...options.executionProviders], logSeverityLevel: 4 };
}

function describe(session: InferenceSession): Loaded {
  const signature: Signature = {
    inputs: session.inputMetadata.map((meta) => readSpec('input', meta)),
    outputs: session.outputMetadata.map((meta) => readSpec('output', meta)),
  };
  const dimensionNames = readDimensionNames(session);
  return {
    signature,
    dimensionNames,
    batchable: declaresBatch(signature, dimensionNames),
    lanes: 1,
    device: 'cpu',
    notes: [],
  };
}

function readDimensionNames(session: InferenceSession): DimensionNames {
  return new Map(session.inputMetadata.map((meta) => [meta.name, meta.isTensor ? meta.shape : []]));
}

/** Whether every input and output begins with a variable dimension, in all inputs the same one. */
function declaresBatch({ inputs, outputs }: Signature, names: DimensionNames): boolean {
  const first = new Set(inputs.map((input) => names.get(input.name)?.[0]));
  return inputs.length > 0 && first.size === 1 && [...inputs, ...outputs].every((spec) => spec.shape[0] === -1);
}

function readSpec(role: 'input' | 'output', meta: InferenceSession.ValueMetadata): TensorSpec {
  if (!meta.isTensor) {
    throw new AppError(
      'unsupported',
      `${role} "${meta.name}" is a sequence or a map, which the protocol cannot carry; ` +
        'convert scikit-learn models with the option zipmap=False',
      { details: { [role]: meta.name } },
    );
  }
  const datatype = datatypeOf(meta.type);
  if (datatype === undefined) {
    throw new AppError(
      'unsupported',
      `${role} "${meta.name}" has the type ${meta.type}, which the protocol cannot carry`,
    );
  }
  return { name: meta.name, datatype, shape: meta.shape.map((size) => (typeof size === 'number' ? size : -1)) };
}
