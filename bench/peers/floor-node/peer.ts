import { createRequire } from 'node:module';
import { startFloorServer } from '../../support/floors.js';
import type { Peer } from '../peer.js';

export const floorNode: Peer = {
  name: 'floor-node',
  kind: 'floor',
  about: 'node:http and onnxruntime-node in one process, no framework: the least in Node',
  cases: ['json1', 'json64', 'bin1', 'bin64'],
  async install() {
    const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };
    return {
      versions: `Node ${process.version}, onnxruntime-node ${version}`,
      async start(options) {
        const floor = await startFloorServer(options.model, 1, options);
        return { ...floor, url: floor.urls[0] ?? '', headers: {} };
      },
    };
  },
};
