import { join, resolve } from 'node:path';
import { freePort } from '../../../src/platform/free-port.js';
import type { Peer } from '../peer.js';
import { pythonEnvironment, startHttpPeer } from '../python.js';

const REQUIREMENTS = ['bentoml==1.4.39', 'starlette==1.10.0', 'uvicorn==0.54.0', 'onnxruntime==1.32.0'];

export const bentoml: Peer = {
  name: 'bentoml',
  kind: 'server',
  about:
    'BentoML with an async method (faster here than a plain or a batched one), one worker, its own logging, and its own JSON of nested rows',
  cases: ['json1', 'json64'],
  ownJson: true,
  async install() {
    const { python } = await pythonEnvironment(REQUIREMENTS);
    return {
      versions: REQUIREMENTS.join(', '),
      async start(options) {
        const port = await freePort();
        const command = [
          ...[python, '-m', 'bentoml', 'serve', 'service:Digits', '--host', '127.0.0.1', '--port', String(port)],
          ...['--working-dir', resolve('bench', 'peers', 'bentoml')],
        ];
        const env = { BENTOML_HOME: join(options.folder, 'home'), BENTOML_DO_NOT_TRACK: 'True' };
        return startHttpPeer(options, { name: 'bentoml', command, env, port, path: '/infer', ownJson: true });
      },
    };
  },
};
