/** Five minutes of predictions during which everything that can be replaced is, one after the other. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { SluiceClient } from '../../src/cli/client.js';
import type { Load, LoadReport } from './load.js';
import { type Cluster, MODELS, SYSTEM } from './setup.js';

export interface Disturbance {
  readonly what: string;
  /** Seconds after the load began, when it began and when it was over. */
  readonly fromSec: number;
  readonly toSec: number;
}

export interface Undisturbed {
  readonly report: LoadReport;
  readonly disturbances: readonly Disturbance[];
}

export interface UndisturbedOptions {
  readonly cluster: Cluster;
  /** Leads to the gateways; asked for anew after they were replaced. */
  client(): Promise<SluiceClient>;
  readonly endpoint: string;
  /** Revisions between which the traffic moves. */
  readonly revisions: readonly [number, number];
  /** How long the load lasts. */
  readonly seconds: number;
  startLoad(): Promise<Load>;
  tell(line: string): void;
}

interface Pods {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
    readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
  }[];
}

const API_AWAY_MS = 30_000;
/** No round is begun that would outlast the load. */
const ROUND_SEC = 120;

export async function undisturbed(options: UndisturbedOptions): Promise<Undisturbed> {
  const { cluster, endpoint, revisions, tell } = options;
  const { kubectl, api } = cluster;
  const load = await options.startLoad();
  const began = performance.now();
  const disturbances: Disturbance[] = [];
  const since = () => Number(((performance.now() - began) / 1000).toFixed(1));
  const during = async (what: string, work: () => Promise<void>) => {
    const fromSec = since();
    tell(`${fromSec} s: ${what}`);
    await work();
    disturbances.push({ what, fromSec, toSec: since() });
    await sleep(3000);
  };
  const move = (percent: number) => async () => {
    const client = await options.client();
    const [first, second] = revisions;
    const targets = [
      { revision: first, percent: 100 - percent },
      { revision: second, percent },
    ].filter((target) => target.percent > 0);
    await client.put(`/api/v1/endpoints/${endpoint}/traffic`, { json: { targets, reason: 'verification' } });
  };
  /** `least`: pods that must be ready again before the next one goes; undefined: as many as there were. */
  const replace = (namespace: string, selector: string, least?: number) => async () => {
    const list = ['-n', namespace, 'get', 'pods', '-l', selector];
    const living = ({ items }: Pods) => items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    const before = living(await kubectl.json<Pods>(list)).map(({ metadata }) => metadata.name);
    for (const name of before) {
      await kubectl.run(['-n', namespace, 'delete', 'pod', name, '--wait=false']);
      await kubectl.until<Pods>(
        `another pod in the place of ${name}`,
        list,
        (pods) => {
          const now = living(pods);
          const wanted = least ?? before.length;
          return now.every(({ metadata }) => metadata.name !== name) && now.filter(isReady).length >= wanted;
        },
        120,
      );
    }
  };
  const ofEndpoint = `sluice.dev/endpoint=${endpoint}`;
  const ofProgram = (name: string) => `app.kubernetes.io/name=sluice,app.kubernetes.io/component=${name}`;

  for (let round = 1; round === 1 || since() < options.seconds - ROUND_SEC; round++) {
    for (const percent of [10, 50, 100]) await during(`${percent} % to the other revision`, move(percent));
    await during('model servers are deleted, one by one', replace(MODELS, ofEndpoint, 1));
    await during('gateways are deleted, one by one', replace(SYSTEM, ofProgram('gateway')));
    await during('workers are deleted, one by one', replace(SYSTEM, ofProgram('worker')));
    if (api && round === 1)
      await during('the API server is away', async () => {
        await api.stop();
        await sleep(API_AWAY_MS);
        await api.start();
      });
    for (const percent of [50, 0]) await during(`${percent} % to the other revision`, move(percent));
  }
  return { report: await load.report, disturbances };
}

function isReady({ status }: Pods['items'][number]): boolean {
  return status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') ?? false;
}
