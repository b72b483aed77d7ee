import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { startGatewayProcess } from '../../../tests/support/gateway-process.js';
import { post } from '../../support/post.js';
import { httpPrediction, MODEL, rowsOf } from '../../support/predictions.js';
import { family } from '../../support/proc.js';
import type { Peer } from '../peer.js';

export const sluice: Peer = {
  name: 'sluice',
  kind: 'sluice',
  about:
    'the gateway, its model server, an idle spare and its Postgres, which runs already when the start is timed; a key is checked, limits, statistics and metrics are on, everything else as it comes; own CPU is that of gateway and Postgres',
  cases: ['json1', 'json64', 'bin1', 'bin64', 'grpc1'],
  async install() {
    return {
      versions: 'this checkout',
      async start({ core, folder, model, cleanup }) {
        const gateway = await startGatewayProcess({ core, parentFolder: folder });
        const stop = cleanup.add(gateway.stop);
        pin(gateway.postgresPid, core);
        const version = await gateway.upload(MODEL, await readFile(model));
        const scaling = { minReplicas: 1, maxReplicas: 1, concurrency: 256 };
        await gateway.serve(MODEL, MODEL, version, { scaling });
        const url = `${gateway.url}/v2/models/${MODEL}/infer`;
        const headers = { authorization: `Bearer ${gateway.key}` };
        // what starts is an installation whose endpoint is there already, as with the others
        await gateway.end();
        const began = performance.now();
        await gateway.begin();
        await post(url, httpPrediction('json', rowsOf(1)), headers);
        const readyMs = performance.now() - began;
        const ownPids = () => [gateway.pid, ...family(gateway.postgresPid)];
        const backendPids = () => family(gateway.pid).filter((pid) => pid !== gateway.pid);
        return { url, grpcUrl: new URL(gateway.url).host, headers, readyMs, pids: ownPids, backendPids, stop };
      },
    };
  },
};

/** Holds running processes to a core, and those that they start from now on. */
export function pin(pid: number, core: number | undefined): void {
  if (core === undefined) return;
  for (const member of family(pid)) spawnSync('taskset', ['-a', '-c', '-p', String(core), String(member)]);
}
