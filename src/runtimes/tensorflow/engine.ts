import { basename } from 'node:path';
import { AppError } from '../../errors.js';
import type { Signature } from '../../protocol/signature.js';
import type { Tensor } from '../../protocol/tensor.js';
import type { Engine, EngineKind, EngineOptions, InferCall, Loaded, ModelFiles } from '../engine.js';
import type { Pointer } from '../foreign.js';
import type { Api, GraphOutput } from './api.js';
import { deviceOf } from './device.js';
import { findSavedModel } from './files.js';
import { openLibrary } from './library.js';
import { lanesOf, readOptions } from './options.js';
import { defaultSignature, readSignatures, type SavedSignature, type TensorRef } from './saved-model.js';
import { Session, TensorFlowError } from './session.js';
import { fromNative, toNative } from './tensors.js';
import { threadNotes } from './thread-pool.js';
import { warmUp } from './warm-up.js';

/** TensorFlow SavedModels by TensorFlow's C library, which the process is pointed at (option `libraryPath`). */
export const tensorflow: EngineKind = {
  platform: 'tensorflow_savedmodel',
  async importLibrary(defaults) {
    await openLibrary(defaults.libraryPath);
  },
  create: (defaults) => new TensorFlowEngine(defaults),
};

interface Bound {
  readonly ref: TensorRef;
  readonly place: GraphOutput;
}

/** A signature with the places of its tensors in the graph. */
interface BoundSignature {
  readonly inputs: ReadonlyMap<string, Bound>;
  readonly outputs: ReadonlyMap<string, Bound>;
}

interface Model {
  readonly api: Api;
  readonly session: Session;
  readonly signatures: ReadonlyMap<string, BoundSignature>;
  readonly defaultName: string;
}

class TensorFlowEngine implements Engine {
  private model: Model | undefined;

  constructor(private readonly defaults: EngineOptions) {}

  async load(files: ModelFiles, options: EngineOptions): Promise<Loaded> {
    const wanted = readOptions({ ...this.defaults, ...options });
    const folder = await findSavedModel(files.path);
    // the process's own: whoever may load models may not choose what code is loaded
    const api = await openLibrary(this.defaults.libraryPath);
    const { session, read } = await Session.open(api, folder, wanted, readSignatures).catch((error) => {
      throw loadFailure(error, folder);
    });
    try {
      const defaultName = defaultSignature(read);
      const signatures = new Map([...read.usable].map(([name, saved]) => [name, specsOf(saved)]));
      const bound = new Map([...read.usable].map(([name, saved]) => [name, bind(session, saved)]));
      this.model = { api, session, signatures: bound, defaultName };
      const { device, notes } = deviceOf(session.deviceTypes(), wanted.device);
      const signature = signatures.get(defaultName) as Signature;
      const leftOut = [...read.unusable].map(([name, why]) => `The signature "${name}" is left out: ${why}.`);
      const warmed = await warmUp({ folder, signatures, defaultName, infer: (call) => this.infer(call) });
      return {
        signature,
        signatures,
        // every one of them: requests of any may be joined with others of its kind
        batchable: [...signatures.values()].every(declaresBatch),
        lanes: lanesOf(wanted),
        device,
        notes: [...notes, ...threadNotes(wanted.intraOpNumThreads), ...leftOut, ...warmed],
      };
    } catch (error) {
      this.model = undefined;
      await session.close();
      throw error;
    }
  }

  async infer({ inputs, outputs, signature }: InferCall): Promise<Tensor[]> {
    if (!this.model) throw new AppError('not_ready', 'the model is not loaded');
    const { api, session, signatures, defaultName } = this.model;
    const bound = signatures.get(signature ?? defaultName);
    if (!bound) throw new AppError('internal', `the model has no signature "${signature}"`);
    const given = inputs.map((input) => inputOf(bound, input));
    const wanted = outputs ? outputs.map((name) => outputOf(bound, name)) : [...bound.outputs.values()];
    if (wanted.length === 0) return [];
    const tensors: Pointer[] = [];
    try {
      for (const input of inputs) tensors.push(toNative(api, input));
      const places = (list: readonly Bound[]) => list.map(({ place }) => place);
      const results = await session.run(places(given), [...tensors], places(wanted));
      tensors.push(...results);
      return wanted.map(({ ref }, at) => fromNative(api, ref.spec.name, results[at] as Pointer));
    } catch (error) {
      if (!(error instanceof TensorFlowError)) throw error;
      throw new AppError('internal', `the model failed: ${error.message}`, { cause: error });
    } finally {
      // the call has ended: nobody else looks at them any more
      for (const tensor of tensors) api.deleteTensor(tensor);
    }
  }

  async unload(): Promise<void> {
    const session = this.model?.session;
    this.model = undefined;
    await session?.close();
  }
}

function loadFailure(error: unknown, folder: string): unknown {
  if (!(error instanceof TensorFlowError)) return error;
  // where the model lies on this machine is nobody's business
  const message = error.message.replaceAll(folder, basename(folder));
  const code = /not registered/.test(message) ? 'unsupported' : 'invalid';
  return new AppError(code, `TensorFlow cannot load the model: ${message}`, { cause: error });
}

function bind(session: Session, saved: SavedSignature): BoundSignature {
  const place = (refs: readonly TensorRef[]) =>
    new Map(refs.map((ref) => [ref.spec.name, { ref, place: session.find(ref.operation, ref.index) }]));
  return { inputs: place(saved.inputs), outputs: place(saved.outputs) };
}

function specsOf({ inputs, outputs }: SavedSignature): Signature {
  return { inputs: inputs.map(({ spec }) => spec), outputs: outputs.map(({ spec }) => spec) };
}

function declaresBatch({ inputs, outputs }: Signature): boolean {
  return inputs.length > 0 && [...inputs, ...outputs].every((spec) => spec.shape[0] === -1);
}

/** An input's place. A scalar's shape is looked at here: the empty shape of its spec says nothing to the shell. */
function inputOf(bound: BoundSignature, { name, shape }: Tensor): Bound {
  const found = bound.inputs.get(name);
  if (!found) throw new AppError('internal', `the model has no input "${name}"`);
  if (found.ref.scalar && shape.length > 0) {
    throw new AppError(
      'invalid',
      `input "${name}" has shape [${shape.join(',')}], the model takes a scalar, shape []`,
      {
        details: { input: name, shape, expected: [] },
      },
    );
  }
  return found;
}

function outputOf(bound: BoundSignature, name: string): Bound {
  const found = bound.outputs.get(name);
  if (found) return found;
  throw new AppError('internal', `the model has no output "${name}"`);
}
