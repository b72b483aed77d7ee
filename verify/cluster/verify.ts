/**
 * Sluice on a real Kubernetes with a real Knative, from its manifests: the main path, five minutes of predictions while
 * everything is replaced, shares of traffic, starts from zero.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runStory } from '../../examples/demo/story.js';
import { SluiceClient } from '../../src/cli/client.js';
import { loadConfig } from '../../src/config.js';
import { serviceName } from '../../src/core/cluster-names.js';
import { messageOf } from '../../src/errors.js';
import type { Verification } from '../verification.js';
import { fromZero } from './from-zero.js';
import type { Forward } from './kubectl.js';
import { type LoadPlan, Loads } from './load.js';
import { type Cluster, givenCluster, MODELS, ownCluster, SYSTEM } from './setup.js';
import { agree, shareOf, shares, tolerance } from './shares.js';
import { testCluster } from './tests.js';
import { undisturbed } from './undisturbed.js';

const OVERLAY = join('tests', 'cluster', 'overlay');
const NAME = 'digits';
/** As the overlay has it. */
const key = 'only-for-the-test-cluster';
const LOADS = { namespace: 'sluice-load', image: 'dev.local/sluice:0.1.0' };
const LOAD_SEC = 300;
const PER_SECOND = 40;
/** Requests over one connection, for what the gateway adds. */
const ONE_BY_ONE = 2000;

export const cluster: Verification = {
  name: 'cluster',
  summary: 'Sluice from its manifests on a real Kubernetes with Knative (made here, or that of KUBECONFIG)',
  async run({ args }) {
    const { values } = parseArgs({ args, options: { keep: { type: 'boolean', default: false } } });
    const began = performance.now();
    const tell = (line: string) =>
      process.stderr.write(`[${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s] ${line}\n`);
    const { kubeconfig } = loadConfig().cluster;
    // from now on: a cluster that is being started is taken down when it has been
    const ended = untilInterrupted();
    const made = kubeconfig === undefined ? await ownCluster(tell) : givenCluster(kubeconfig);
    try {
      return await Promise.race([look(made, tell), ended.interrupted]);
    } finally {
      ended.forget();
      if (!values.keep) await made.close();
    }
  },
};

async function look(made: Cluster, tell: (line: string) => void) {
  const { kubectl } = made;
  const figures: Record<string, string | number> = {};
  const notRun: string[] = [];
  const problems: string[] = [];
  const expect = (holds: boolean, problem: string) => {
    if (!holds) problems.push(problem);
  };
  const applied = performance.now();
  await kubectl.run(['apply', '--server-side', '-k', OVERLAY]);
  await kubectl.run(['-n', SYSTEM, 'rollout', 'status', 'deployment', '--timeout=300s']);
  figures['manifests applied to all programs ready, s'] = seconds(applied);
  tell('Sluice runs on the cluster');
  const ways: Forward[] = [];
  const client = async () => {
    const way = await kubectl.forward(SYSTEM, 'service/sluice-gateway', 80);
    ways.push(way);
    return new SluiceClient({ url: way.url, key, retries: 5 });
  };
  const loads = new Loads(kubectl, LOADS);
  try {
    await loads.open();
    const account = await runStory({
      client: await client(),
      key,
      folder: join('examples', 'digits'),
      name: NAME,
      tell,
      requestsPerSecond: 50,
      cpus: 0.1,
    });
    for (const problem of account.problems) expect(false, `main path: ${problem}`);
    for (const chapter of account.chapters)
      figures[`${chapter.job}: decision, seconds`] = `${chapter.decision}, ${chapter.seconds.toFixed(1)}`;
    figures['main path: predictions, failed'] = `${account.traffic.sent}, ${account.traffic.failed}`;

    const endpoint = (await (await client()).get<EndpointView>(`/api/v1/endpoints/${NAME}`)).body;
    const [first = 1, second = 2] = goodRevisions(endpoint, account.chapters);
    const plan = await planFor(key);
    const service = serviceName(NAME, await endpointId(made));
    const straight: LoadPlan = {
      ...plan,
      url: `http://${service}.${MODELS}.svc.cluster.local/v2/models/${NAME}/infer`,
      headers: {},
    };

    tell(`${LOAD_SEC} s of predictions while everything is replaced`);
    const calm = await undisturbed({
      cluster: made,
      client,
      endpoint: NAME,
      revisions: [first, second],
      seconds: LOAD_SEC,
      startLoad: () => loads.start({ ...plan, perSecond: PER_SECOND, seconds: LOAD_SEC }),
      tell,
    });
    for (const { what, fromSec, toSec } of calm.disturbances) figures[`  from ${fromSec} s to ${toSec} s`] = what;
    figures[`undisturbed: sent in ${LOAD_SEC} s, failed, sent again`] =
      `${calm.report.sent}, ${calm.report.failed}, ${calm.report.again}`;
    figures['undisturbed: p50, p99, slowest, ms'] = `${calm.report.p50Ms}, ${calm.report.p99Ms}, ${calm.report.maxMs}`;
    for (const { fromSec, toSec, ms } of calm.report.waits)
      figures[`  sent from ${fromSec} s to ${toSec} s: longest wait, ms`] = ms;
    expect(calm.report.failed === 0, `predictions failed: ${calm.report.failures.join('; ')}`);
    if (!made.api) notRun.push('the API server away for 30 s: it is not ours to stop');
    const last = calm.disturbances.at(-1);
    expect((last?.toSec ?? 0) <= LOAD_SEC, `the load was over before the disturbances were (${last?.toSec} s)`);

    tell('90 to 10, through the gateway and straight through Knative');
    const targets = [
      { revision: first, percent: 90 },
      { revision: second, percent: 10 },
    ];
    await (await client()).put(`/api/v1/endpoints/${NAME}/traffic`, { json: { targets, reason: 'verification' } });
    await splitOnKnative(made, service, [90, 10]);
    const split = await shares(loads, { gateway: plan, knative: straight });
    const [byGateway, byKnative] = [shareOf(split.gateway, second), shareOf(split.knative, second)];
    figures['10 % by the gateway, by Knative, allowed'] =
      `${byGateway.toFixed(2)}, ${byKnative.toFixed(2)}, ±${tolerance(10).toFixed(2)}`;
    expect(Math.abs(byGateway - 10) <= tolerance(10), `the gateway gave ${byGateway} % where 10 were set`);
    expect(Math.abs(byKnative - 10) <= tolerance(10), `Knative gave ${byKnative} % where 10 were set`);
    expect(agree(byGateway, byKnative, 10), `gateway and Knative do not agree: ${byGateway} and ${byKnative} %`);
    expect(split.gateway.failed + split.knative.failed === 0, 'predictions failed while the shares were counted');

    const one = { count: ONE_BY_ONE, connections: 1 };
    const [through, direct] = [await loads.run({ ...plan, ...one }), await loads.run({ ...straight, ...one })];
    figures['one connection through the gateway, p50, p99, ms'] = `${through.p50Ms}, ${through.p99Ms}`;
    figures['one connection straight to Knative, p50, p99, ms'] = `${direct.p50Ms}, ${direct.p99Ms}`;

    tell('from no pod at all');
    for (let turn = 1; turn <= 2; turn++) {
      const cold = await fromZero(made, loads, plan, NAME);
      const server = Object.entries(cold.serverMs).map(([phase, ms]) => `${phase} ${Math.round(ms)}`);
      figures[`from zero ${turn}, ms`] =
        `${Math.round(cold.totalMs)}: Knative ${Math.round(cold.knativeMs)}, container ${cold.containerMs}, ${server.join(', ')}`;
    }

    tell('the tests that need a cluster');
    const tested = await testCluster(made.kubeconfig);
    figures['tests that need a cluster: passed, failed'] = `${tested.passed}, ${tested.failed}`;
    for (const name of tested.names) expect(false, `test failed: ${name}`);
    for (const name of tested.skipped) notRun.push(name);
  } catch (error) {
    // what was seen so far is told all the same
    problems.push(messageOf(error));
  } finally {
    await Promise.all(ways.map((way) => way.stop()));
    await loads.close().catch((error) => tell(`the load's namespace stays: ${messageOf(error)}`));
  }
  for (const problem of problems) console.error(problem);
  return { ok: problems.length === 0, figures, notRun };
}

interface EndpointView {
  readonly revisions: readonly { readonly number: number; readonly modelVersion: number }[];
}

/** The revisions of the versions that are sound, the newest first: the story's second and first. */
function goodRevisions(
  { revisions }: EndpointView,
  chapters: readonly { readonly version: number | null; readonly decision: string }[],
): number[] {
  const promoted = chapters.filter(({ decision }) => decision === 'promoted').map(({ version }) => version);
  return revisions.filter(({ modelVersion }) => promoted.includes(modelVersion)).map(({ number }) => number);
}

async function planFor(key: string): Promise<LoadPlan> {
  const set = JSON.parse(await readFile(join('examples', 'digits', 'holdout.json'), 'utf8')) as {
    inputs: { data: number[] | number[][] }[];
  };
  const row = (set.inputs[0]?.data ?? []).flat().slice(0, 64);
  return {
    url: `http://sluice-gateway.${SYSTEM}.svc.cluster.local/v2/models/${NAME}/infer`,
    headers: { authorization: `Bearer ${key}` },
    body: JSON.stringify({ inputs: [{ name: 'X', datatype: 'FP32', shape: [1, 64], data: row }] }),
  };
}

interface Services {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
    readonly status: { readonly traffic?: readonly { readonly percent?: number }[] };
  }[];
}

const KNATIVE_SERVICES = ['-n', MODELS, 'get', 'services.serving.knative.dev'];

async function endpointId({ kubectl }: Cluster): Promise<string> {
  const { items } = await kubectl.json<Services>([...KNATIVE_SERVICES, '-l', `sluice.dev/endpoint=${NAME}`]);
  return items[0]?.metadata.labels['sluice.dev/endpoint-id'] ?? '';
}

async function splitOnKnative({ kubectl }: Cluster, service: string, percents: readonly number[]): Promise<void> {
  const wanted = [...percents].sort().join();
  await kubectl.until<Services['items'][number]>(
    `Knative splits ${wanted}`,
    [...KNATIVE_SERVICES, service],
    ({ status }) =>
      (status.traffic ?? [])
        .map(({ percent = 0 }) => percent)
        .filter((percent) => percent > 0)
        .sort()
        .join() === wanted,
  );
}

function seconds(since: number): number {
  return Number(((performance.now() - since) / 1000).toFixed(1));
}

/** What is under way ends with the first Ctrl-C, so that nothing is left behind. */
function untilInterrupted() {
  let stop: (signal: string) => void = () => {};
  const interrupted = new Promise<never>((_, reject) => {
    stop = (signal) => reject(new Error(`ended by ${signal}`));
  });
  interrupted.catch(() => {});
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const signal of signals) process.once(signal, stop);
  return {
    interrupted,
    forget: () => {
      for (const signal of signals) process.off(signal, stop);
    },
  };
}
