import { resolve } from 'node:path';
import { freePort } from '../../../src/platform/free-port.js';
import type { Peer } from '../peer.js';
import { pythonEnvironment, startHttpPeer } from '../python.js';

const REQUIREMENTS = [
  'uvicorn==0.54.0',
  'uvloop==0.23.0',
  'httptools==0.9.0',
  'orjson==3.13.0',
  'onnxruntime==1.32.0',
  'numpy==2.4.6',
];

export const floorPython: Peer = {
  name: 'floor-python',
  kind: 'floor',
  about: 'raw ASGI under uvicorn with uvloop and httptools, orjson, onnxruntime, no access log: the least in Python',
  cases: ['json1', 'json64', 'bin1', 'bin64'],
  async install() {
    const { python } = await pythonEnvironment(REQUIREMENTS);
    return {
      versions: REQUIREMENTS.join(', '),
      async start(options) {
        const port = await freePort();
        const command = [
          ...[python, '-m', 'uvicorn', 'app:app', '--app-dir', resolve('bench', 'peers', 'floor-python')],
          ...['--host', '127.0.0.1', '--port', String(port), '--loop', 'uvloop', '--http', 'httptools'],
          ...['--lifespan', 'off', '--no-access-log', '--log-level', 'warning'],
        ];
        return startHttpPeer(options, { name: 'floor-python', command, port });
      },
    };
  },
};
