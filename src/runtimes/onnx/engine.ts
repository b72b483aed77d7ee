import { availableParallelism } from 'node:os';
import { basename, dirname } from 'node:path';
import { AppError } from '../../errors.js';
import type { Tensor } from '../../protocol/tensor.js';
import type { Engine, EngineOptions, InferCall, Loaded, ModelFiles, RehearsableKind } from '../engine.js';
import { describe } from './describe.js';
import { findModelFile } from './files.js';
import { openLibrary } from './library.js';
import { openSession } from './open-session.js';
import { lanesOf, readOptions, threadNotes } from './options.js';
import { RunPlace } from './run-place.js';
import type { Session } from './session.js';
import { Slots } from './slots.js';
import { INVALID_ARGUMENT, NOT_IMPLEMENTED, OrtError } from './status.js';

/** The smallest model there is, y = Identity(x). */
const TINY = 'CAg6NwoQCgF4EgF5IghJZGVudGl0eRIBdFoPCgF4EgoKCAgBEgQKAggBYg8KAXkSCgoICAESBAoCCAFCBAoAEBE=';

/** ONNX models by ONNX Runtime's C library: the package's own, or what the process is pointed at (option `onnxLibrary`). */
export const onnx: RehearsableKind = {
  platform: 'onnx_onnxv1',
  async importLibrary(defaults) {
    await openLibrary(defaults.onnxLibrary);
  },
  create: (defaults) => new OnnxEngine(defaults),
  createSample: (defaults) => new OnnxEngine({ ...defaults, device: 'cpu' }, Buffer.from(TINY, 'base64')),
};

interface Model {
  readonly session: Session;
  readonly outputs: readonly string[];
  readonly place: RunPlace;
  /** Of runs that leave the thread: several requests of one turn may each do so. */
  readonly slots: Slots;
}

class OnnxEngine implements Engine {
  private model: Model | undefined;

  /** `bytes`: the model itself, in place of what `load` is pointed at. */
  constructor(
    private readonly defaults: EngineOptions,
    private readonly bytes?: Uint8Array,
  ) {}

  async load(files: ModelFiles, options: EngineOptions): Promise<Loaded> {
    const wanted = readOptions({ ...this.defaults, ...options });
    const [path, library] = await Promise.all([
      this.bytes ? files.path : findModelFile(files.path),
      // the process's own: whoever may load models may not choose what code is loaded
      openLibrary(this.defaults.onnxLibrary),
    ]);
    const source = this.bytes ? { bytes: this.bytes } : { path };
    const { session, device, notes } = await openSession(library, source, wanted).catch((error) => {
      throw loadFailure(error, path);
    });
    try {
      const described = describe(session);
      const lanes = lanesOf(wanted, this.defaults);
      const outputs = described.signature.outputs.map(({ name }) => name);
      this.model = { session, outputs, place: new RunPlace(lanes), slots: new Slots(lanes) };
      return { ...described, lanes, device, notes: [...notes, ...threadNotes(wanted, lanes, availableParallelism())] };
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  async infer({ inputs, outputs }: InferCall): Promise<Tensor[]> {
    if (!this.model) throw new AppError('not_ready', 'the model is not loaded');
    const { session, place, slots } = this.model;
    const wanted = outputs ?? this.model.outputs;
    if (wanted.length === 0) return [];
    const elements = elementsOf(inputs);
    try {
      if (!place.leaves(elements)) {
        const began = performance.now();
        const results = session.run(inputs, wanted);
        place.ran(elements, performance.now() - began);
        return results;
      }
      return await slots.use(async () => {
        const began = performance.now();
        const results = await session.runOffThread(inputs, wanted);
        place.ran(elements, performance.now() - began);
        return results;
      });
    } catch (error) {
      throw runFailure(error);
    }
  }

  async unload(): Promise<void> {
    const session = this.model?.session;
    this.model = undefined;
    await session?.close();
  }
}

function elementsOf(inputs: readonly Tensor[]): number {
  let elements = 0;
  for (let at = 0; at < inputs.length; at++) elements += (inputs[at] as Tensor).data.length;
  return elements;
}

/** What this build has no code for, in the words that come without a code of their own. */
const UNKNOWN = /is not a registered function|No Op registered|not currently registered or supported/;
const NO_EXTERNAL_DATA = /External data path does not exist: "(?:.*\/)?([^"/]*)"/;

function loadFailure(error: unknown, path: string): unknown {
  if (!(error instanceof OrtError)) return error;
  const missing = NO_EXTERNAL_DATA.exec(error.message)?.[1];
  if (missing !== undefined) {
    const message = `the model's external data is not beside it: there is no file "${missing}"`;
    return new AppError('invalid', message, { details: { file: missing }, cause: error });
  }
  // where the file lies on this machine is nobody's business
  const message = error.message.replaceAll(path, basename(path)).replaceAll(dirname(path), '.');
  const code = error.code === NOT_IMPLEMENTED || UNKNOWN.test(message) ? 'unsupported' : 'invalid';
  return new AppError(code, `ONNX Runtime cannot load the model: ${message}`, { cause: error });
}

/** Inputs that the model does not take are found before its first operation runs: what one of them finds is the model's. */
function runFailure(error: unknown): unknown {
  if (!(error instanceof OrtError)) return error;
  const inside = /^Non-zero status code returned while running/.test(error.message);
  if (error.code === INVALID_ARGUMENT && !inside) return new AppError('invalid', error.message, { cause: error });
  return new AppError('internal', `the model failed: ${error.message}`, { cause: error });
}
