import { join, resolve } from 'node:path';
import { freePort } from '../../../src/platform/free-port.js';
import type { Peer } from '../peer.js';
import { pythonEnvironment, startHttpPeer } from '../python.js';

const REQUIREMENTS = ['ray[serve]==2.60.0', 'uvloop==0.23.0', 'orjson==3.13.0', 'onnxruntime==1.32.0'];

export const rayServe: Peer = {
  name: 'ray-serve',
  kind: 'server',
  about:
    'Ray Serve, one replica, max_ongoing_requests 1000 (with its default of 5 it collapses above 8 connections), access log off',
  cases: ['json1', 'json64'],
  async install() {
    const { python } = await pythonEnvironment(REQUIREMENTS);
    return {
      versions: REQUIREMENTS.join(', '),
      async start(options) {
        const port = await freePort();
        return startHttpPeer(options, {
          name: 'ray-serve',
          command: [python, resolve('bench', 'peers', 'ray-serve', 'app.py')],
          env: {
            PORT: String(port),
            SESSIONS: join(options.folder, 'ray'),
            RAY_USAGE_STATS_ENABLED: '0',
            RAY_SERVE_THROUGHPUT_OPTIMIZED: '1',
          },
          port,
        });
      },
    };
  },
};
