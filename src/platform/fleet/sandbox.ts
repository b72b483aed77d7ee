import type { LoadedModel, Sandbox } from '../../core/fleet.js';
import type { Servable } from '../../core/models/model.js';
import { AppError, asAppError } from '../../errors.js';
import { residentBytes } from '../process-memory.js';
import { type Launcher, type Started, signatureOf } from './launcher.js';

const NAME = 'candidate';
/** A server may be killed for reasons that are not the model's; one that dies with so many servers in a row is to blame. */
const MAX_DEATHS = 3;

/** Of a server that runs on the cluster alone: it is not tried before Knative starts it. */
const UNTRIED: LoadedModel = {
  signature: { inputs: [], outputs: [] },
  loadMs: 0,
  memoryBytes: async () => undefined,
  forward: () => {
    throw new AppError(
      'unsupported',
      'a server from a container image is not run for gates: it answers on the cluster only',
    );
  },
};

/**
 * Throw-away model servers as processes on this machine. Owns the launcher and closes it. `cluster`: revisions run on a
 * cluster, so that servers from images need not run here.
 */
export function createSandbox(launcher: Launcher, cluster = false): Sandbox {
  const start = async (model: Servable): Promise<Started> => {
    for (let deaths = 1; ; deaths++) {
      try {
        return await launcher.start(model, { name: NAME, version: '1', options: {} });
      } catch (error) {
        const failure = asAppError(error);
        if (failure.details?.died !== true) throw failure;
        // a model that brings its server down is refused with the reason, like one that fails politely
        if (deaths === MAX_DEATHS) throw new AppError('invalid', failure.message, { cause: error });
      }
    }
  };
  return {
    async withModel<T>(model: Servable, use: (model: LoadedModel) => Promise<T>): Promise<T> {
      if (cluster && model.server?.image !== undefined) return use(UNTRIED);
      const began = performance.now();
      const started = await start(model);
      const { server, phases, modelName } = started;
      try {
        const signature = await signatureOf(started);
        const forward: LoadedModel['forward'] = (call, handler) =>
          server.forward({ ...call, path: call.path.replace('{model}', encodeURIComponent(modelName)) }, handler);
        const loadMs = model.server ? performance.now() - began : phases.load;
        const memoryBytes = async () => (server.pid === null ? undefined : residentBytes(server.pid));
        return await use({ signature, forward, loadMs, memoryBytes });
      } finally {
        server.kill();
        await server.exited;
      }
    },
    close: () => launcher.close(),
  };
}
