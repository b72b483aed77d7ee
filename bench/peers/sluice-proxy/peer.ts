import { startGatewayProcess } from '../../../tests/support/gateway-process.js';
import { startFloorServer } from '../../support/floors.js';
import { post } from '../../support/post.js';
import { httpPrediction, MODEL, rowsOf } from '../../support/predictions.js';
import { family } from '../../support/proc.js';
import { PROXY_CASES } from '../cases.js';
import type { Peer } from '../peer.js';
import { pin } from '../sluice/peer.js';

export const sluiceProxy: Peer = {
  name: 'sluice-proxy',
  kind: 'proxy',
  about:
    'the gateway in front of floor-node as an external server, split 90 to 10 over two revisions; a key is checked, limits, statistics and metrics are on',
  cases: PROXY_CASES,
  async install() {
    return {
      versions: 'this checkout',
      async start(options) {
        const { core, folder, cleanup } = options;
        const floor = await startFloorServer(options.model, 2, options);
        const gateway = await startGatewayProcess({ core, parentFolder: folder, env: { SLUICE_SPARES: '0' } });
        const stopGateway = cleanup.add(gateway.stop);
        pin(gateway.postgresPid, core);
        const { client } = gateway;
        await client.post('/api/v1/models', { json: { name: MODEL } });
        const versions: number[] = [];
        for (const url of floor.urls) {
          const server = { url: new URL(url).origin, readyPath: '/', modelName: MODEL };
          const json = { files: [], server };
          const { body } = await client.post<{ version: number }>(`/api/v1/models/${MODEL}/versions`, { json });
          versions.push(body.version);
        }
        const [stable = 1, canary = 2] = versions;
        const scaling = { minReplicas: 1, maxReplicas: 1, concurrency: 256 };
        await gateway.serve(MODEL, MODEL, stable, { scaling });
        await client.post(`/api/v1/endpoints/${MODEL}/revisions`, { json: { version: canary } });
        const targets = [
          { revision: 1, percent: 90 },
          { revision: 2, percent: 10 },
        ];
        await client.put(`/api/v1/endpoints/${MODEL}/traffic`, { json: { targets } });
        const url = `${gateway.url}/v2/models/${MODEL}/infer`;
        const headers = { authorization: `Bearer ${gateway.key}` };
        // what starts is an installation whose endpoint is there already, as with the others
        await gateway.end();
        const began = performance.now();
        await gateway.begin();
        await post(url, httpPrediction('json', rowsOf(1)), headers);
        const readyMs = performance.now() - began;
        const stop = async () => {
          await stopGateway();
          await floor.stop();
        };
        const pids = () => [gateway.pid, ...family(gateway.postgresPid)];
        return { url, headers, readyMs, pids, backendPids: floor.pids, stop };
      },
    };
  },
};
