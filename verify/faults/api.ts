/** What the verification does and reads through the platform's own API. */
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AliasChange, Endpoint, Job, JobSummary, Model, Traffic } from '../../src/cli/api-types.js';
import { ApiError, SluiceClient } from '../../src/cli/client.js';
import { packCode } from '../../src/cli/pack/archive.js';
import type { Promotion, RolloutSummary } from '../../src/cli/rollout-types.js';

export const ENDPOINT = 'faults';
export const MODEL = 'faults';
/** An alias that the verification moves by hand. */
export const HAND_ALIAS = 'seen';
const DATASET = 'faults-golden';
const CALL_MS = 10_000;

export interface PlatformEvent {
  readonly seq: number;
  readonly kind: string;
  readonly subject: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly at: string;
}

export interface Api {
  readonly client: SluiceClient;
  /** One try. */
  submit(spec: JobRequest, key: string): Promise<string>;
  job(id: string): Promise<Job>;
  jobs(): Promise<readonly JobSummary[]>;
  promotionsOf(job: string): Promise<readonly Promotion[]>;
  rollouts(): Promise<readonly RolloutSummary[]>;
  model(): Promise<Model>;
  endpoint(): Promise<Endpoint>;
  traffic(): Promise<Traffic>;
  aliasHistory(alias: string): Promise<readonly AliasChange[]>;
  /** Every event after a sequence number. */
  events(after: number): Promise<readonly PlatformEvent[]>;
}

export interface JobRequest {
  readonly name: string;
  readonly tag: string;
  readonly seconds: number;
  readonly fails: boolean;
}

export function openApi(url: string, key: string, code: string): Api {
  const client = new SluiceClient({ url, key, retries: 0, timeoutMs: CALL_MS });
  const read = async <T>(path: string, query: Record<string, string | number> = {}) =>
    (await client.get<T>(`/api/v1${path}`, { query })).body;
  return {
    client,
    async submit(spec, requestKey) {
      const json = {
        name: spec.name,
        model: MODEL,
        code,
        entrypoint: 'train.py',
        params: { tag: spec.tag, seconds: spec.seconds, steps: 10, fails: spec.fails },
        resources: { cpus: 1, memoryMb: 256 },
        timeLimitSec: 60,
        // a killed script counts as one that failed
        retries: spec.fails ? 0 : 3,
      };
      return (await client.post<{ id: string }>('/api/v1/jobs', { json, headers: { 'idempotency-key': requestKey } }))
        .body.id;
    },
    job: (id) => read<Job>(`/jobs/${id}`),
    jobs: async () => (await read<{ jobs: JobSummary[] }>('/jobs', { limit: 1000 })).jobs,
    promotionsOf: async (job) => (await read<{ promotions: Promotion[] }>('/promotions', { job })).promotions,
    rollouts: async () =>
      (await read<{ rollouts: RolloutSummary[] }>('/rollouts', { endpoint: ENDPOINT, limit: 1000 })).rollouts,
    model: () => read<Model>(`/models/${MODEL}`),
    endpoint: () => read<Endpoint>(`/endpoints/${ENDPOINT}`),
    traffic: () => read<Traffic>(`/endpoints/${ENDPOINT}/traffic`),
    async aliasHistory(alias) {
      return (await read<{ history: AliasChange[] }>(`/models/${MODEL}/aliases/${alias}`)).history;
    },
    async events(after) {
      const all: PlatformEvent[] = [];
      for (let from = after; ; ) {
        const { events } = await read<{ events: PlatformEvent[] }>('/events', { after: from, limit: 1000 });
        all.push(...events);
        const last = events.at(-1);
        if (!last) return all;
        from = last.seq;
      }
    },
  };
}

/** Uploads code and data, and makes the model and the endpoint. Answers the code's digest. */
export async function prepare(client: SluiceClient, rows: readonly (readonly number[])[]): Promise<string> {
  const code = await uploadCode(client);
  const golden = { inputs: [{ name: 'X', datatype: 'FP32', shape: [rows.length, 64], data: rows.flat() }] };
  await client.post(`/api/v1/datasets/${DATASET}/versions`, { stream: bodyOf(Buffer.from(JSON.stringify(golden))) });
  await client.post('/api/v1/models', { json: { name: MODEL } });
  await client.put(`/api/v1/endpoints/${ENDPOINT}`, {
    json: {
      name: ENDPOINT,
      model: MODEL,
      scaling: { minReplicas: 1, maxReplicas: 2, concurrency: 32, stableWindowSec: 6, scaleToZeroGraceSec: 0 },
      policy: {
        gates: [
          { kind: 'metric', name: 'accuracy', min: 0.5 },
          { kind: 'signature' },
          { kind: 'golden', dataset: DATASET },
        ],
        rollout: {
          steps: [{ percent: 40, holdSec: 0.5 }],
          // every model gives the same answers: the rollout is to move, not to judge
          analysis: {
            minRequests: 10,
            metrics: [
              { kind: 'errors', maxIncrease: 0.9 },
              { kind: 'latency', maxIncrease: 0.9, slowFactor: 20 },
            ],
          },
          bakeSec: 2,
        },
      },
    },
  });
  return code;
}

async function uploadCode(client: SluiceClient): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-faults-code-'));
  try {
    await copyFile(resolve('verify', 'faults', 'code', 'train.py'), join(folder, 'train.py'));
    await copyFile(resolve('tests', 'fixtures', 'models', 'digits.onnx'), join(folder, 'model.onnx'));
    const archive = await packCode(folder);
    try {
      await client.put(`/api/v1/blobs/${archive.digest}`, { stream: bodyOf(await readFile(archive.file)) });
      return archive.digest;
    } finally {
      await archive.remove();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function bodyOf(bytes: Buffer) {
  return {
    bytes: bytes.length,
    async *open() {
      yield bytes;
    },
  };
}

/** Repeats a call through outages, as a careful client does, until the time is over. What is the caller's fault is not repeated. */
export async function patiently<T>(what: string, timeoutMs: number, call: () => Promise<T>): Promise<T> {
  for (const until = Date.now() + timeoutMs; ; ) {
    try {
      return await call();
    } catch (error) {
      const passing = !(error instanceof ApiError) || error.status >= 500 || error.status === 429;
      if (!passing || Date.now() > until)
        throw new Error(`${what}: ${error instanceof Error ? error.message : error}`, { cause: error });
      await sleep(20);
    }
  }
}

/** Looks until there is something to see; undefined when the time is over. Outages count as nothing to see. */
export async function lookUntil<T>(
  timeoutMs: number,
  look: () => Promise<T | undefined>,
  everyMs = 40,
): Promise<T | undefined> {
  for (const until = Date.now() + timeoutMs; Date.now() < until; await sleep(everyMs)) {
    const seen = await look().catch(() => undefined);
    if (seen !== undefined) return seen;
  }
  return undefined;
}
