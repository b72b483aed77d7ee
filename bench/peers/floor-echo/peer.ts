import { startFloorEcho } from '../../support/floors.js';
import type { Peer } from '../peer.js';

export const floorEcho: Peer = {
  name: 'floor-echo',
  kind: 'floor',
  about: 'node:http alone: reads the body, answers as many bytes as a prediction has',
  cases: ['json1'],
  echo: true,
  async install() {
    return {
      versions: `Node ${process.version}`,
      async start(options) {
        const floor = await startFloorEcho(options);
        return { ...floor, url: floor.urls[0] ?? '', headers: {} };
      },
    };
  },
};
