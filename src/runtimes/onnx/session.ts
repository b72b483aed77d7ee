import { AppError } from '../../errors.js';
import type { Tensor } from '../../protocol/tensor.js';
import { offThread, type Pointer } from '../foreign.js';
import type { Api, Status } from './api.js';
import type { OrtLibrary } from './library.js';
import { addressFrom, check, numberFrom } from './status.js';
import { fromNative, toNative } from './tensors.js';
import { readType, type ValueType } from './types.js';

/** Where a model comes from: its file, or its bytes. */
export type ModelSource = { readonly path: string } | { readonly bytes: Uint8Array };

/** An input or output as the model declares it. */
export interface Declared {
  readonly name: string;
  readonly type: ValueType;
}

/** A process ends when the threads of its pool have nothing more to do: what still computes is told to stop. */
const open = new Set<Session>();
process.on('exit', () => {
  for (const session of open) session.terminate();
});

/** A model in ONNX Runtime's memory. Several runs may be under way at once: they share the weights. */
export class Session {
  private constructor(
    private readonly library: OrtLibrary,
    private readonly session: Pointer,
    private readonly runOptions: Pointer,
    readonly inputs: readonly Declared[],
    readonly outputs: readonly Declared[],
    private readonly names: Names,
  ) {
    open.add(this);
  }

  /** Loads a model, off this thread. `options` (OrtSessionOptions) stay the caller's. Rejects with an OrtError. */
  static async open(library: OrtLibrary, source: ModelSource, options: Pointer): Promise<Session> {
    const { api, env } = library;
    const made = new BigUint64Array(1);
    const status = await ('path' in source
      ? offThread(api.createSession, env, source.path, options, made)
      : offThread(api.createSessionFrom, env, source.bytes, source.bytes.length, options, made));
    check(api, status);
    const session = made[0] as Pointer;
    try {
      const inputs = declared(library, session, 'input');
      const outputs = declared(library, session, 'output');
      const names = new Names(api, [...inputs, ...outputs]);
      const runOptions = addressFrom(api, (out) => api.createRunOptions(out));
      return new Session(library, session, runOptions, inputs, outputs, names);
    } catch (error) {
      api.releaseSession(session);
      throw error;
    }
  }

  /** Runs on this thread: cheapest, and nothing else happens meanwhile. Throws an OrtError. */
  run(inputs: readonly Tensor[], outputs: readonly string[]): Tensor[] {
    const run = this.begin(inputs, outputs);
    try {
      const { api } = this.library;
      return this.end(run, api.run(...run.args));
    } finally {
      this.release(run);
    }
  }

  /** The same on a thread of libuv's pool. Rejects with an OrtError. */
  async runOffThread(inputs: readonly Tensor[], outputs: readonly string[]): Promise<Tensor[]> {
    const run = this.begin(inputs, outputs);
    try {
      return this.end(run, await offThread(this.library.api.run, ...run.args));
    } finally {
      this.release(run);
    }
  }

  /** Frees it, off this thread. Nothing may be running. */
  async close(): Promise<void> {
    const { api, trim } = this.library;
    open.delete(this);
    api.releaseRunOptions(this.runOptions);
    await offThread(api.releaseSession, this.session);
    await trim?.();
  }

  /** Makes all runs that are under way fail before their next operation, and those that would still begin. */
  terminate(): void {
    this.library.api.terminate(this.runOptions);
  }

  private begin(inputs: readonly Tensor[], outputs: readonly string[]): Run {
    const given = new BigUint64Array(inputs.length);
    const made = new BigUint64Array(outputs.length);
    const inputNames = new BigUint64Array(inputs.length);
    const outputNames = new BigUint64Array(outputs.length);
    const { session, runOptions, names } = this;
    const args = [session, runOptions, inputNames, given, inputs.length, outputNames, outputs.length, made] as const;
    const run: Run = { args: [...args], inputs, outputs, given, made };
    try {
      for (let at = 0; at < inputs.length; at++) {
        const input = inputs[at] as Tensor;
        inputNames[at] = names.of(input.name);
        given[at] = toNative(this.library, input);
      }
      for (let at = 0; at < outputs.length; at++) outputNames[at] = names.of(outputs[at] as string);
      return run;
    } catch (error) {
      this.release(run);
      throw error;
    }
  }

  private end({ outputs, made }: Run, status: Status): Tensor[] {
    const { api } = this.library;
    check(api, status);
    return outputs.map((name, at) => {
      const value = made[at] as Pointer;
      if (value === 0n || (this.names.isOptional(name) && numberFrom(api, (out) => api.hasValue(value, out)) === 0))
        throw new AppError('internal', `the model gave no output "${name}"`);
      return fromNative(api, name, value);
    });
  }

  private release({ given, made }: Run): void {
    const { api } = this.library;
    for (const value of given) if (value !== 0n) api.releaseValue(value);
    for (const value of made) if (value !== 0n) api.releaseValue(value);
  }
}

/** What a run reads and writes, kept alive as long as it takes. */
interface Run {
  readonly args: Parameters<Api['run']>;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly string[];
  readonly given: BigUint64Array;
  readonly made: BigUint64Array;
}

/** The names of inputs and outputs as C has them, made once. */
class Names {
  private readonly known = new Map<string, { text: Buffer; address: Pointer; optional: boolean }>();

  constructor(api: Api, values: readonly Declared[]) {
    for (const { name, type } of values) {
      const text = Buffer.from(`${name}\0`);
      const optional = type.kind === 'tensor' && type.optional;
      this.known.set(name, { text, address: api.address(text), optional });
    }
  }

  of(name: string): Pointer {
    const found = this.known.get(name);
    if (found) return found.address;
    throw new AppError('internal', `the model has no input or output "${name}"`);
  }

  isOptional(name: string): boolean {
    return this.known.get(name)?.optional === true;
  }
}

function declared({ api, allocator }: OrtLibrary, session: Pointer, role: 'input' | 'output'): Declared[] {
  const [count, name, type] =
    role === 'input'
      ? [api.inputCount, api.inputName, api.inputType]
      : [api.outputCount, api.outputName, api.outputType];
  const values = Number(addressFrom(api, (out) => count(session, out)));
  return Array.from({ length: values }, (_, at) => {
    const text = addressFrom(api, (out) => name(session, at, allocator, out));
    const declaredName = api.text(text);
    check(api, api.allocatorFree(allocator, text));
    return {
      name: declaredName,
      type: readType(
        api,
        addressFrom(api, (out) => type(session, at, out)),
      ),
    };
  });
}
