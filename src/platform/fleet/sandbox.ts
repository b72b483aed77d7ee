import type { LoadedModel, Sandbox } from '../../core/fleet.js';
import { ask } from '../../core/inference/forward.js';
import type { Artifact } from '../../core/models/model.js';
import { AppError, asAppError } from '../../errors.js';
import type { Signature } from '../../protocol/signature.js';
import type { Artifacts, LocalModel } from './artifacts.js';
import type { RuntimeProcess } from './runtime-process.js';
import type { Spares } from './spares.js';

const NAME = 'candidate';
/** A server may be killed for reasons that are not the model's; one that dies with so many servers in a row is to blame. */
const MAX_DEATHS = 3;

/** Throw-away model servers as processes on this machine. Owns `spares` and closes them. */
export function createSandbox(spares: Spares, artifacts: Artifacts): Sandbox {
  const load = async ({ path, framework }: LocalModel): Promise<{ runtime: RuntimeProcess; loadMs: number }> => {
    for (let deaths = 1; ; deaths++) {
      const runtime = await spares.take();
      const began = performance.now();
      try {
        await runtime.load({ name: NAME, version: '1', path, framework, options: {} });
        return { runtime, loadMs: performance.now() - began };
      } catch (error) {
        const failure = asAppError(error);
        // the connection of one that died is closed by then; of one that answers it is not
        const died = failure.code === 'upstream_failed' && (await isGone(runtime));
        runtime.kill();
        const how = await runtime.exited;
        if (!died) throw failure;
        // a model that brings its server down is refused with the reason, like one that fails politely
        if (deaths === MAX_DEATHS) {
          throw new AppError('invalid', `the model server died while it loaded the model: ${how}`, { cause: error });
        }
      }
    }
  };
  return {
    async withModel<T>(artifact: Artifact, use: (model: LoadedModel) => Promise<T>): Promise<T> {
      const { runtime, loadMs } = await load(await artifacts.locate(artifact));
      try {
        const reply = await ask(runtime.forward, {
          method: 'GET',
          path: `/v2/models/${NAME}`,
          headers: {},
          body: Buffer.alloc(0),
        }).reply;
        const { inputs, outputs } = JSON.parse(reply.body.toString('utf8')) as Signature;
        const forward: LoadedModel['forward'] = (call, handler) =>
          runtime.forward({ ...call, path: call.path.replace('{model}', NAME) }, handler);
        return await use({ signature: { inputs, outputs }, forward, loadMs });
      } finally {
        runtime.kill();
        await runtime.exited;
      }
    },
    close: () => spares.close(),
  };
}

function isGone(runtime: RuntimeProcess): Promise<boolean> {
  return Promise.race([runtime.gone.then(() => true), new Promise<false>((resolve) => setImmediate(resolve, false))]);
}
