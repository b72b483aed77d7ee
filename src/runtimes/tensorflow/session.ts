import { AppError } from '../../errors.js';
import { offThread, type Pointer } from '../foreign.js';
import type { Api, GraphOutput } from './api.js';
import { runOptions, sessionConfig, type TensorFlowOptions } from './options.js';

/** A call of TensorFlow's failed; the message is its own. */
export class TensorFlowError extends Error {
  override readonly name = 'TensorFlowError';
}

/** A SavedModel in TensorFlow's memory. Everything slow runs on threads of libuv's pool, several calls at once. */
export class Session {
  private constructor(
    private readonly api: Api,
    private readonly session: Pointer,
    private readonly graph: Pointer,
    private readonly runOptions: Pointer | null,
  ) {}

  /**
   * Loads the SavedModel in a folder. `readMetaGraph` is given its serialized MetaGraphDef, whose bytes are gone when it
   * returns. Rejects with a TensorFlowError.
   */
  static async open<T>(
    api: Api,
    folder: string,
    options: TensorFlowOptions,
    readMetaGraph: (bytes: Buffer) => T,
  ): Promise<{ session: Session; read: T }> {
    const graph = api.newGraph();
    const metaGraph = api.newBuffer();
    const sessionOptions = api.newSessionOptions();
    let session: Session | undefined;
    try {
      const config = sessionConfig(options);
      withStatus(api, (status) => api.setConfig(sessionOptions, config, config.length, status));
      const pointer = await withStatusAsync(api, (status) =>
        offThread(api.loadSession, sessionOptions, null, folder, TAGS, TAGS.length, graph, metaGraph, status),
      );
      if (pointer === null) throw new TensorFlowError('it gave no session');
      const run = runOptions(options);
      session = new Session(api, pointer, graph, run ? api.newBufferFrom(run, run.length) : null);
      return { session, read: readMetaGraph(api.viewBuffer(metaGraph)) };
    } catch (error) {
      if (session) await session.close();
      else api.deleteGraph(graph);
      throw error;
    } finally {
      api.deleteSessionOptions(sessionOptions);
      api.deleteBuffer(metaGraph);
    }
  }

  /** The place in the graph of an operation's result; `invalid` when the graph has no such operation. */
  find(operation: string, index: number): GraphOutput {
    const oper = this.api.operation(this.graph, operation);
    if (oper !== null) return { oper, index };
    throw new AppError(
      'invalid',
      `the SavedModel's signature names the operation "${operation}", which it does not have`,
    );
  }

  /**
   * One inference. The tensors that come out are the caller's to delete, and so are those that go in, once this has
   * settled. Rejects with a TensorFlowError.
   */
  async run(
    inputs: readonly GraphOutput[],
    values: readonly Pointer[],
    outputs: readonly GraphOutput[],
  ): Promise<Pointer[]> {
    const { api, session } = this;
    const results: (Pointer | null)[] = outputs.map(() => null);
    const counts = [inputs.length, outputs.length] as const;
    await withStatusAsync(api, (status) =>
      offThread(
        api.runSession,
        ...([session, this.runOptions, inputs, values, counts[0], outputs, results, counts[1]] as const),
        ...([null, 0, null, status] as const),
      ),
    );
    return results.filter((result) => result !== null);
  }

  /** The types of its devices, such as `CPU` and `GPU`, one for each device. */
  deviceTypes(): string[] {
    const { api } = this;
    return withStatus(api, (status) => {
      const devices = api.listDevices(this.session, status);
      if (devices === null) return [];
      const types = Array.from({ length: api.deviceCount(devices) }, (_, at) => api.deviceType(devices, at, status));
      api.deleteDevices(devices);
      return types;
    });
  }

  /** Frees everything. Nothing may be in flight. */
  async close(): Promise<void> {
    const { api, session } = this;
    // whatever it has to say: there is nothing that could be done about it
    const status = api.newStatus();
    await offThread(api.closeSession, session, status);
    await offThread(api.deleteSession, session, status);
    api.deleteStatus(status);
    api.deleteGraph(this.graph);
    if (this.runOptions !== null) api.deleteBuffer(this.runOptions);
  }
}

/** The tag of the graph that is meant for serving, in every SavedModel that has one. */
const TAGS = ['serve'];

function withStatus<T>(api: Api, call: (status: Pointer) => T): T {
  const status = api.newStatus();
  try {
    const result = call(status);
    throwFailure(api, status);
    return result;
  } finally {
    api.deleteStatus(status);
  }
}

async function withStatusAsync<T>(api: Api, call: (status: Pointer) => Promise<T>): Promise<T> {
  const status = api.newStatus();
  try {
    const result = await call(status);
    throwFailure(api, status);
    return result;
  } finally {
    api.deleteStatus(status);
  }
}

function throwFailure(api: Api, status: Pointer): void {
  if (api.statusCode(status) !== 0) throw new TensorFlowError(api.statusMessage(status).slice(0, MAX_MESSAGE));
}

/** Messages name the operations that an error passed through, which can be very many. */
const MAX_MESSAGE = 2000;
