import { resolve } from 'node:path';
import { freePort } from '../../../src/platform/free-port.js';
import type { Peer } from '../peer.js';
import { pythonEnvironment, startHttpPeer } from '../python.js';

const REQUIREMENTS = [
  'kserve==0.21.0',
  'fastapi==0.165.0',
  'uvloop==0.23.0',
  'httptools==0.9.0',
  'orjson==3.13.0',
  'pydantic==2.14.3',
  'grpcio==1.85.1',
  'onnxruntime==1.32.0',
];

export const kserve: Peer = {
  name: 'kserve',
  kind: 'server',
  about: "KServe's Python server with a custom ONNX model, one worker, its own logging",
  cases: ['json1', 'json64', 'bin1', 'bin64', 'grpc1'],
  async install() {
    const { python } = await pythonEnvironment(REQUIREMENTS);
    return {
      versions: REQUIREMENTS.join(', '),
      async start(options) {
        const [port, grpcPort] = [await freePort(), await freePort()];
        const script = resolve('bench', 'peers', 'kserve', 'server.py');
        const command = [python, script, '--http_port', String(port), '--grpc_port', String(grpcPort)];
        return startHttpPeer(options, { name: 'kserve', command, port, grpcPort });
      },
    };
  },
};
