import { createReadStream, createWriteStream, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Batch } from '../../src/cli/api-types.js';
import { SluiceClient } from '../../src/cli/client.js';
import { messageOf } from '../../src/errors.js';
import { seeded } from '../../tests/support/random.js';
import { whyNoRedis } from '../../tests/support/redis-server.js';
import { lookUntil, patiently } from '../faults/api.js';
import { createInstallation, type Installation } from '../faults/installation.js';
import { killNow } from '../faults/processes.js';
import type { Verification, VerificationResult } from '../verification.js';
import { ENDPOINT, throughGatewaysDeath, throughRedisDeath } from './async.js';
import { checkTables } from './tables.js';

const START_MS = 60_000;
const WATCHDOG_MS = 20 * 60_000;

/**
 * A batch prediction of a million rows on a real installation whose worker and gateway are killed while it runs, and an
 * asynchronous prediction whose gateway is. `--rows N`, `--kills N`, `--seed N`. Runs from the folder of the package.
 */
export const batch: Verification = {
  name: 'batch',
  summary:
    'a batch of 1,000,000 rows through ten kill -9 of worker and gateway has each answer once, in order, and right',
  async run({ args }) {
    const { values } = parseArgs({
      args,
      options: {
        rows: { type: 'string', default: '1000000' },
        kills: { type: 'string', default: '10' },
        seed: { type: 'string', default: '1' },
      },
    });
    if (process.platform !== 'linux')
      return { ok: true, figures: {}, notRun: ['all of it: processes are found through /proc'] };
    return verify({ rows: Number(values.rows), kills: Number(values.kills), random: seeded(Number(values.seed)) });
  },
};

interface Given {
  readonly rows: number;
  readonly kills: number;
  readonly random: () => number;
}

async function verify({ rows, kills, random }: Given): Promise<VerificationResult> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-verify-batch-'));
  const installation = await createInstallation();
  const problems: string[] = [];
  const overdue = sleep(WATCHDOG_MS, undefined, { ref: false }).then(() => {
    throw new Error(`not done within ${WATCHDOG_MS / 60_000} minutes`);
  });
  try {
    const tables = await checkTables();
    problems.push(...tables.problems);
    installation.start(undefined);
    const client = new SluiceClient({ url: installation.url, key: installation.key, timeoutMs: 10_000 });
    await patiently('the start', START_MS, () => client.get('/readyz'));
    await serve(client);
    const undisturbed = await runBatch({ installation, client, folder, rows, problems });
    const played = await Promise.race([
      runBatch({
        installation,
        client,
        folder,
        rows,
        problems,
        during: (id) => disturb(installation, client, id, { rows, kills, random }),
      }),
      overdue,
    ]);
    const killed = (played.kills?.worker ?? 0) + (played.kills?.gateway ?? 0);
    if (killed !== kills) problems.push(`the batch ended after ${killed} of ${kills} kills`);
    const gateway = await throughGatewaysDeath(installation, client);
    problems.push(...gateway.problems);
    const noRedis = whyNoRedis();
    const redis = noRedis === undefined ? await throughRedisDeath(installation, client) : undefined;
    problems.push(...(redis?.problems ?? []));
    const left = await installation.stop();
    problems.push(...left.map(({ pid, command }) => `left after the stop: ${pid} ${command.slice(0, 120)}`));
    if (problems.length > 0) for (const line of await installation.lastLog(40)) console.error(line);
    for (const problem of problems.slice(0, 20)) console.error(`batch: ${problem}`);
    return {
      ok: problems.length === 0,
      figures: {
        'table values compared with numpy and pyarrow': tables.compared,
        rows,
        'undisturbed: duration (s)': undisturbed.seconds,
        'undisturbed: rows per second': Math.round(rows / undisturbed.seconds),
        "undisturbed: the worker's most memory (MiB)": undisturbed.workerMiB,
        'kills of the worker': played.kills?.worker ?? 0,
        'kills of the gateway': played.kills?.gateway ?? 0,
        'disturbed: duration (s)': played.seconds,
        'disturbed: rows per second': Math.round(rows / played.seconds),
        'attempts of the disturbed batch': played.attempts,
        'answers, in order and right': played.right,
        'answers missing, repeated or wrong': played.wrong,
        'async: answers after their gateway died': gateway.right,
        'async: until the last of them (ms)': gateway.tookMs,
        ...(redis
          ? {
              'async: answers after Redis and the worker died': redis.right,
              'async: until the last of these (ms)': redis.tookMs,
            }
          : {}),
        problems: problems.length,
      },
      notRun: [
        ...(noRedis === undefined ? [] : [`asynchronous predictions through the death of Redis: ${noRedis}`]),
        ...(tables.notRun === undefined ? [] : [`tables beside numpy and pyarrow: ${tables.notRun}`]),
      ],
    };
  } catch (error) {
    for (const line of await installation.lastLog(40)) console.error(line);
    throw error;
  } finally {
    await installation.remove().catch((error: unknown) => console.error(`batch: cleaning up: ${messageOf(error)}`));
    await rm(folder, { recursive: true, force: true });
  }
}

async function serve(client: SluiceClient): Promise<void> {
  const bytes = await readFile(resolve('tests', 'fixtures', 'models', 'linear.onnx'));
  const stream = {
    bytes: bytes.length,
    async *open() {
      yield bytes;
    },
  };
  await client.post(`/api/v1/models/${ENDPOINT}/versions`, { stream });
  const scaling = { minReplicas: 1, maxReplicas: 2, concurrency: 16 };
  await client.post('/api/v1/endpoints', { json: { name: ENDPOINT, model: ENDPOINT, version: 1, scaling } });
}

interface Run {
  readonly installation: Installation;
  readonly client: SluiceClient;
  readonly folder: string;
  readonly rows: number;
  readonly problems: string[];
  /** What is done to it while it runs. */
  during?(id: string): Promise<Kills>;
}

type Kills = Record<'worker' | 'gateway', number>;

/** Runs a batch of so many rows to its end and checks every answer. */
async function runBatch({ installation, client, folder, rows, problems, during }: Run) {
  const input = join(folder, 'input.csv');
  await pipeline(Readable.from(idRows(rows)), createWriteStream(input));
  const { size } = await stat(input);
  const stream = { bytes: size, open: () => createReadStream(input) as AsyncIterable<Buffer> };
  const uploaded = await client.post<{ digest: string }>('/api/v1/blobs', { stream });
  const json = {
    endpoint: ENDPOINT,
    input: { digest: uploaded.body.digest, format: 'csv' },
    output: { format: 'csv' },
  };
  const began = Date.now();
  const { id } = (await client.post<{ id: string }>('/api/v1/batch-predictions', { json })).body;
  const show = async () => (await client.get<Batch>(`/api/v1/batch-predictions/${id}`)).body;
  const disturbed = during?.(id);
  let end = await patiently('the batch', START_MS, show);
  let workerMiB = 0;
  while (!end.endedAt) {
    await sleep(100);
    workerMiB = Math.max(workerMiB, workerMemory(installation));
    end = await patiently('the batch', START_MS, show);
  }
  const seconds = Math.round((Date.now() - began) / 100) / 10;
  const kills = await disturbed;
  if (end.state !== 'succeeded') problems.push(`the batch ended as ${end.state}: ${end.reason}`);
  const { right, wrong } = await checkAnswers(client, id, rows);
  if (right !== rows || wrong !== 0) problems.push(`${right} answers are right and ${wrong} wrong, of ${rows}`);
  if (end.rowsDone !== rows) problems.push(`its progress says ${end.rowsDone} of ${rows} rows`);
  return { seconds, right, wrong, attempts: end.attempt, kills, workerMiB };
}

/** The most memory that the present worker ever had, in MiB. */
function workerMemory(installation: Installation): number {
  const worker = installation.processes().find((found) => found.kind === 'worker');
  try {
    const status = readFileSync(`/proc/${worker?.pid}/status`, 'utf8');
    return Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
  } catch {
    return 0;
  }
}

function* idRows(rows: number): Generator<string> {
  yield 'id\n';
  const atOnce = 10_000;
  for (let from = 0; from < rows; from += atOnce) {
    let text = '';
    for (let id = from; id < Math.min(rows, from + atOnce); id++) text += `${id}\n`;
    yield text;
  }
}

/** The answer in line n must be 2n + 1: a row that is missing, repeated or out of order shows in all behind it. */
async function checkAnswers(client: SluiceClient, id: string, rows: number): Promise<{ right: number; wrong: number }> {
  const { chunks } = await patiently('the result', START_MS, () =>
    client.download(`/api/v1/batch-predictions/${id}/result`),
  );
  let at = -1;
  let right = 0;
  let wrong = 0;
  for await (const line of createInterface({ input: Readable.from(chunks), crlfDelay: Number.POSITIVE_INFINITY })) {
    if (at === -1 ? line === 'y' : line === String(2 * at + 1) && at < rows) right++;
    else wrong++;
    at++;
  }
  // the line of names is no answer
  return { right: right - 1, wrong };
}

/** Kills the worker, and every third time the gateway, at random moments that are spread over the rows. */
async function disturb(
  installation: Installation,
  client: SluiceClient,
  id: string,
  { rows, kills, random }: Given,
): Promise<Kills> {
  const done: Kills = { worker: 0, gateway: 0 };
  const rowsDone = async () => {
    try {
      const { body } = await client.get<Batch>(`/api/v1/batch-predictions/${id}`);
      return body.endedAt ? Number.POSITIVE_INFINITY : body.rowsDone;
    } catch {
      return -1;
    }
  };
  for (let kill = 0; kill < kills; kill++) {
    const from = (rows * (kill + random() * 0.9)) / (kills + 1);
    for (let seen = -1; seen < from; seen = await rowsDone()) {
      if (seen === Number.POSITIVE_INFINITY) return done;
      await sleep(20);
    }
    await sleep(random() * 200);
    const kind = kill % 3 === 2 ? 'gateway' : 'worker';
    const victim = await lookUntil(
      START_MS,
      async () => installation.processes().find((found) => found.kind === kind),
      5,
    );
    if (!victim) continue;
    killNow(victim.pid);
    done[kind]++;
    console.error(`kill ${kill + 1}: ${kind} ${victim.pid} from row ${Math.round(from)} on`);
  }
  return done;
}
