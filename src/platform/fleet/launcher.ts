/** Brings model servers up, of whatever kind a model needs. */
import { ask } from '../../core/inference/forward.js';
import type { Servable } from '../../core/models/model.js';
import type { ServerSpec } from '../../core/models/server.js';
import { AppError, asAppError } from '../../errors.js';
import type { Log } from '../../log.js';
import { readSignature, type Signature } from '../../protocol/signature.js';
import type { Artifacts } from './artifacts.js';
import { startExternalServer } from './external-server.js';
import type { Prepare } from './preparation.js';
import type { RunningServer, StartPhases } from './running-server.js';
import type { RuntimeProcess } from './runtime-process.js';
import type { Spares } from './spares.js';

/** As what a model is brought up. */
export interface StartAs {
  /** The name in the server's paths. */
  readonly name: string;
  readonly version: string;
  /** Of the engine and of the server around it. */
  readonly options: Readonly<Record<string, unknown>>;
}

export interface Started {
  readonly server: RunningServer;
  readonly phases: StartPhases;
  /** The name by which the server knows the model. */
  readonly modelName: string;
  /** Where the model computes, and what its engine has to say; undefined for a server that does not tell. */
  readonly device: string | undefined;
  readonly notes: readonly string[];
}

export interface Launcher {
  /**
   * A server that holds the model and answers. Rejects with `invalid` when the model is to blame, `upstream_failed` when
   * the server is; `details.died` tells that it ended while it loaded the model.
   */
  start(model: Servable, as: StartAs): Promise<Started>;
  /** Ends the spares, and waits for every server that it started. */
  close(): Promise<void>;
}

export interface LauncherOptions {
  /** Owned from now on. */
  readonly spares: Spares;
  readonly artifacts: Artifacts;
  readonly prepare: Prepare;
  /** What external servers inherit. */
  readonly env: Readonly<Record<string, string>>;
  readonly drainMs: number;
  readonly log: Log;
}

export function createLauncher(options: LauncherOptions): Launcher {
  return {
    start: (model, as) =>
      model.server ? startExternal(options, model, as, model.server) : startEngine(options, model, as),
    close: () => options.spares.close(),
  };
}

async function startEngine(options: LauncherOptions, { artifact }: Servable, as: StartAs): Promise<Started> {
  const { artifacts, prepare, spares } = options;
  const { value: prepared, ms: fetch } = await timed(async () => {
    const model = await artifacts.locate(artifact);
    return { model, found: await prepare(model.framework, model.path) };
  });
  // only now: a model that cannot be prepared costs no spare
  const { value: server, ms: process } = await timed(() => spares.take());
  const { model, found } = prepared;
  try {
    const report = await server.load({ ...as, ...model, options: { ...as.options, ...found } });
    const { libraryMs, loadMs, warmUpMs, device, notes } = report;
    const phases = { fetch, process, library: libraryMs, load: loadMs, warmup: warmUpMs };
    return { server, phases, modelName: as.name, device, notes };
  } catch (error) {
    const died = asAppError(error).code === 'upstream_failed' && (await isGone(server));
    server.kill();
    const how = await server.exited;
    if (!died) throw error;
    throw new AppError('upstream_failed', `the model server died while it loaded the model: ${how}`, {
      details: { died: true },
      cause: error,
    });
  }
}

/** The connection of one that died is closed by then; of one that answers it is not. */
function isGone(runtime: RuntimeProcess): Promise<boolean> {
  return Promise.race([runtime.gone.then(() => true), new Promise<false>((resolve) => setImmediate(resolve, false))]);
}

async function startExternal(
  { artifacts, env, drainMs, log }: LauncherOptions,
  { artifact }: Servable,
  as: StartAs,
  server: ServerSpec,
): Promise<Started> {
  const { value: folder, ms: fetch } = await timed(() => artifacts.layOut(artifact));
  const start = () => startExternalServer({ server, name: as.name, folder, env, drainMs, log });
  const { value: running, ms: process } = await timed(start);
  const phases = { fetch, process, library: 0, load: 0, warmup: 0 };
  return { server: running, phases, modelName: server.modelName ?? as.name, device: undefined, notes: [] };
}

/** What a running server says of its model's inputs and outputs; empty when it does not tell. */
export async function signatureOf({ server, modelName }: Started): Promise<Signature> {
  const path = `/v2/models/${encodeURIComponent(modelName)}`;
  const reply = await ask(server.forward, { method: 'GET', path, headers: {}, body: Buffer.alloc(0) }).reply;
  if (reply.status !== 200) return { inputs: [], outputs: [] };
  return readSignature(reply.body);
}

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const began = performance.now();
  return { value: await work(), ms: performance.now() - began };
}
