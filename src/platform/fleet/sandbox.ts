import type { LoadedModel, Sandbox } from '../../core/fleet.js';
import type { Artifact } from '../../core/models/model.js';
import { AppError } from '../../errors.js';
import type { Signature } from '../../protocol/signature.js';
import type { Artifacts } from './artifacts.js';
import type { Spares } from './spares.js';

const NAME = 'candidate';

/** Throw-away model servers as processes on this machine. Owns `spares` and closes them. */
export function createSandbox(spares: Spares, artifacts: Artifacts): Sandbox {
  return {
    async withModel<T>(artifact: Artifact, use: (model: LoadedModel) => Promise<T>): Promise<T> {
      const path = await artifacts.modelPath(artifact);
      const runtime = await spares.take();
      try {
        const began = performance.now();
        // a model that brings its server down is refused with the reason, like one that fails politely
        const died = runtime.exited.then((how) => {
          throw new AppError('invalid', `the model server died while it loaded the model: ${how}`);
        });
        died.catch(() => {});
        await Promise.race([runtime.load({ name: NAME, version: '1', path, threads: 1 }), died]);
        const loadMs = performance.now() - began;
        const reply = await runtime.forward({
          method: 'GET',
          path: `/v2/models/${NAME}`,
          headers: {},
          body: Buffer.alloc(0),
        }).reply;
        const { inputs, outputs } = JSON.parse(reply.body.toString('utf8')) as Signature;
        const forward: LoadedModel['forward'] = (call) =>
          runtime.forward({ ...call, path: call.path.replace('{model}', NAME) });
        return await use({ signature: { inputs, outputs }, forward, loadMs });
      } finally {
        runtime.kill();
        await runtime.exited;
      }
    },
    close: () => spares.close(),
  };
}
