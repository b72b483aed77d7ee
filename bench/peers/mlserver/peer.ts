import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { freePort } from '../../../src/platform/free-port.js';
import type { Peer } from '../peer.js';
import { pythonEnvironment, startHttpPeer } from '../python.js';

const REQUIREMENTS = [
  'mlserver==1.7.1',
  'fastapi==0.115.14',
  'starlette==0.46.2',
  'uvicorn==0.54.0',
  // 0.22 and later end with "there is no current event loop" in it
  'uvloop==0.21.0',
  'orjson==3.13.0',
  'pydantic==2.14.3',
  'grpcio==1.85.1',
  'onnxruntime==1.32.0',
];

export const mlserver: Peer = {
  name: 'mlserver',
  kind: 'server',
  about:
    'MLServer with a custom ONNX runtime, parallel_workers 0 (its default of 1 worker process is less than half as fast), debug off; its REST has no binary tensors',
  cases: ['json1', 'json64', 'grpc1'],
  async install() {
    const { python } = await pythonEnvironment(REQUIREMENTS);
    return {
      versions: REQUIREMENTS.join(', '),
      async start(options) {
        const [port, grpcPort, metricsPort] = [await freePort(), await freePort(), await freePort()];
        const settings = {
          host: '127.0.0.1',
          http_port: port,
          grpc_port: grpcPort,
          metrics_port: metricsPort,
          parallel_workers: 0,
          debug: false,
        };
        const model = {
          name: 'digits',
          implementation: 'onnx_runtime.OnnxRuntime',
          parameters: { uri: options.model },
        };
        await writeFile(join(options.folder, 'settings.json'), JSON.stringify(settings));
        await writeFile(join(options.folder, 'model-settings.json'), JSON.stringify(model));
        return startHttpPeer(options, {
          name: 'mlserver',
          command: [python, '-m', 'mlserver.cli.main', 'start', options.folder],
          env: { PYTHONPATH: resolve('bench', 'peers', 'mlserver') },
          port,
          grpcPort,
        });
      },
    };
  },
};
