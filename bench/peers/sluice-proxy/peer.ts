import { AppError } from '../../../src/errors.js';
import { PROXY_CASES } from '../cases.js';
import type { Peer } from '../peer.js';

export const sluiceProxy: Peer = {
  name: 'sluice-proxy',
  kind: 'proxy',
  about: 'the gateway in front of floor-node as an external server, split 90 to 10 over two revisions',
  cases: PROXY_CASES,
  /**
   * The one place to fill in once an endpoint can name servers that the gateway did not start: as in sluice/peer.ts, with
   * the two ports of `startFloorServer` as its replicas and `backendPids` the floor's processes.
   */
  async install() {
    throw new AppError('unsupported', 'an endpoint cannot yet name a server that the gateway did not start');
  },
};
