import { describe, expect, it } from 'vitest';
import { makeTensor, type Tensor } from '../../protocol/tensor.js';
import type { Engine, InferCall, Loaded } from '../engine.js';
import { Batcher, type Timing } from './batcher.js';
import { type BatchPolicy, DEFAULT_POLICY } from './policy.js';

const row = (...values: number[]): Tensor => makeTensor('x', 'FP32', [values.length, 1], Float32Array.from(values));
const call = (input: Tensor, outputs?: readonly string[]): InferCall => ({
  inputs: [input],
  outputs,
  signature: undefined,
});
const spec = (name: string) => ({ name, datatype: 'FP32' as const, shape: [-1, -1] });
const loaded: Loaded = {
  signature: { inputs: [spec('x')], outputs: [spec('y')] },
  batchable: true,
  lanes: 1,
  device: 'cpu',
  notes: [],
};

/** An engine that doubles its input, or does what it is told; remembers how many rows each run had. */
function engineOf(run: (x: Tensor) => Tensor = (x) => ({ ...x, name: 'y', data: doubled(x) }) as Tensor) {
  const runs: number[] = [];
  const engine: Engine = {
    load: async () => loaded,
    infer: async ({ inputs: [x] }) => {
      runs.push(x?.shape[0] ?? 0);
      await new Promise((resolve) => setImmediate(resolve));
      return [run(x as Tensor)];
    },
    unload: async () => {},
  };
  return { engine, runs };
}

const doubled = (x: Tensor) => Float32Array.from(x.data as Float32Array, (value) => value * 2);

function batcherOf(engine: Engine, policy: Partial<BatchPolicy> = {}, about: Partial<Loaded> = {}) {
  const refusals: string[] = [];
  const batcher = new Batcher({
    engine,
    loaded: { ...loaded, ...about },
    policy: { ...DEFAULT_POLICY, ...policy },
    onRun: () => {},
    onRefusal: (reason) => refusals.push(reason),
  });
  const ask = (input: Tensor, signal = { aborted: false }, outputs?: readonly string[]) =>
    new Promise<{ values: number[]; timing: Timing }>((resolve, reject) =>
      batcher.submit(call(input, outputs), {
        signal,
        deadline: undefined,
        done: ([y], timing) => resolve({ values: [...((y as Tensor).data as Float32Array)], timing }),
        failed: reject,
      }),
    );
  return { batcher, ask, refusals };
}

/** Two batches that agreed with their requests run alone: from then on a model is trusted. */
async function earnTrust(ask: (input: Tensor) => Promise<unknown>): Promise<void> {
  await Promise.all([ask(row(1)), ask(row(2))]);
}

describe('Batcher', () => {
  it('joins what came together, and what waits while a batch runs', async () => {
    const { engine, runs } = engineOf();
    const { ask } = batcherOf(engine);
    await earnTrust(ask);
    runs.length = 0;
    const first = [ask(row(1, 2)), ask(row(3))];
    const later = new Promise((resolve) => setImmediate(resolve)).then(() => Promise.all([ask(row(4)), ask(row(5))]));
    expect((await Promise.all(first)).map(({ values }) => values)).toEqual([[2, 4], [6]]);
    expect((await later).map(({ values, timing }) => [values, timing.batchRows])).toEqual([
      [[8], 2],
      [[10], 2],
    ]);
    expect(runs).toEqual([3, 2]);
  });

  it('compares its first batches with the requests run alone', async () => {
    const { engine, runs } = engineOf();
    const { ask, refusals } = batcherOf(engine);
    await Promise.all([ask(row(1)), ask(row(2)), ask(row(3))]);
    await Promise.all([ask(row(1)), ask(row(2)), ask(row(3))]);
    expect(runs).toEqual([3, 1, 1, 3]);
    expect(refusals).toEqual([]);
  });

  it('gives up batches for a model whose rows influence one another, and answers as alone', async () => {
    const mean = (x: Tensor) => {
      const data = x.data as Float32Array;
      const sum = data.reduce((all, value) => all + value, 0);
      return makeTensor(
        'y',
        'FP32',
        x.shape,
        data.map((value) => value - sum / data.length),
      );
    };
    const { engine, runs } = engineOf(mean);
    const { ask, refusals } = batcherOf(engine);
    const answers = await Promise.all([ask(row(1)), ask(row(5))]);
    expect(answers.map(({ values }) => values)).toEqual([[0], [0]]);
    expect(refusals).toEqual([expect.stringContaining('its rows influence one another')]);
    runs.length = 0;
    await Promise.all([ask(row(1)), ask(row(5))]);
    expect(runs).toEqual([1, 1]);
  });

  it.each([
    ['does not give a row per row', () => makeTensor('y', 'FP32', [1, 1], new Float32Array(1))],
    [
      'cannot run more than one row',
      (x: Tensor) => {
        if ((x.shape[0] ?? 0) > 1) throw new Error('a batch of 1 is built in');
        return { ...x, name: 'y' };
      },
    ],
  ])('gives up batches for a model that %s', async (_what, run) => {
    const { ask, refusals } = batcherOf(engineOf(run).engine);
    await Promise.all([ask(row(1)), ask(row(2))]);
    await Promise.all([ask(row(1)), ask(row(2))]);
    expect(refusals.length).toBe(1);
  });

  it('lets a bad row fail its own request and no other', async () => {
    const { engine, runs } = engineOf((x) => {
      if ((x.data as Float32Array).includes(13)) throw new Error('13 is not taken');
      return { ...x, name: 'y', data: doubled(x) } as Tensor;
    });
    const { ask, refusals } = batcherOf(engine);
    await earnTrust(ask);
    const [a, bad, c] = await Promise.allSettled([ask(row(1)), ask(row(13)), ask(row(3))]);
    expect([a, c]).toMatchObject([{ value: { values: [2] } }, { value: { values: [6] } }]);
    expect(bad).toMatchObject({ status: 'rejected', reason: { message: '13 is not taken' } });
    runs.length = 0;
    await Promise.all([ask(row(1)), ask(row(2))]);
    expect([runs, refusals]).toEqual([[2], []]);
  });

  it('does not run what was cancelled while it waited', async () => {
    const { engine, runs } = engineOf();
    const { ask } = batcherOf(engine);
    await earnTrust(ask);
    runs.length = 0;
    const gone = { aborted: false };
    const results = Promise.allSettled([ask(row(1)), ask(row(2), gone), ask(row(3))]);
    gone.aborted = true;
    expect((await results)[1]).toMatchObject({ status: 'rejected', reason: { code: 'cancelled' } });
    expect(runs).toEqual([2]);
  });

  it('keeps to the most rows, and runs a larger request whole', async () => {
    const { engine, runs } = engineOf();
    const { ask } = batcherOf(engine, { maxRows: 4 });
    await earnTrust(ask);
    runs.length = 0;
    await Promise.all([ask(row(1, 2, 3)), ask(row(4, 5)), ask(row(6)), ask(row(1, 2, 3, 4, 5, 6))]);
    expect([...runs].sort()).toEqual([2, 4, 6]);
  });

  it('cuts batches to the preferred sizes', async () => {
    const { engine, runs } = engineOf();
    const { ask } = batcherOf(engine, { preferredRows: [2, 4] });
    await earnTrust(ask);
    runs.length = 0;
    await Promise.all(Array.from({ length: 7 }, (_, at) => ask(row(at))));
    expect(runs).toEqual([4, 2, 1]);
  });

  it('joins only rows of one form and one wish', async () => {
    const { engine, runs } = engineOf();
    const { ask } = batcherOf(engine);
    await earnTrust(ask);
    runs.length = 0;
    const wide = makeTensor('x', 'FP32', [1, 2], new Float32Array(2));
    await Promise.all([ask(row(1)), ask(wide), ask(row(2)), ask(row(3), undefined, ['y'])]);
    expect(runs).toEqual([2, 1, 1]);
  });

  it('waits for others only as long as the settings say', async () => {
    const { engine, runs } = engineOf();
    const { ask } = batcherOf(engine, { delayMs: 20 });
    await earnTrust(ask);
    runs.length = 0;
    const early = ask(row(1));
    await new Promise((resolve) => setImmediate(resolve));
    await Promise.all([early, ask(row(2))]);
    await ask(row(3));
    expect(runs).toEqual([2, 1]);
  });

  it('joins nothing for a model that declares no batch, or when it is told so', async () => {
    for (const [policy, about] of [
      [{ maxRows: 1 }, {}],
      [{}, { batchable: false }],
    ] as const) {
      const { engine, runs } = engineOf();
      const { ask } = batcherOf(engine, policy, about);
      await Promise.all([ask(row(1)), ask(row(2))]);
      expect(runs).toEqual([1, 1]);
    }
  });

  it('keeps as many runs in flight as the engine has lanes', async () => {
    let inFlight = 0;
    let most = 0;
    const engine: Engine = {
      load: async () => loaded,
      infer: async ({ inputs: [x] }) => {
        most = Math.max(most, ++inFlight);
        await new Promise((resolve) => setTimeout(resolve, 5));
        inFlight--;
        return [{ ...(x as Tensor), name: 'y' }];
      },
      unload: async () => {},
    };
    const { ask } = batcherOf(engine, { maxRows: 1 }, { lanes: 3 });
    await Promise.all(Array.from({ length: 10 }, () => ask(row(1))));
    expect(most).toBe(3);
  });

  it('lets the sockets be looked at between runs on the calling thread', async () => {
    const { engine } = engineOf((x) => {
      const end = performance.now() + 0.5;
      while (performance.now() < end);
      return { ...x, name: 'y' };
    });
    const { ask } = batcherOf(engine, { maxRows: 1 });
    let looks = 0;
    const ticking = setInterval(() => looks++, 1);
    await Promise.all(Array.from({ length: 200 }, () => ask(row(1))));
    clearInterval(ticking);
    expect(looks).toBeGreaterThan(10);
  });

  it('refuses what comes too late, and tells when it is idle', async () => {
    const { engine, runs } = engineOf();
    const { batcher } = batcherOf(engine);
    await batcher.whenIdle();
    const late = new Promise((_, reject) =>
      batcher.submit(call(row(1)), {
        signal: { aborted: false },
        deadline: performance.now() - 1,
        done: () => {},
        failed: reject,
      }),
    );
    await expect(late).rejects.toMatchObject({ code: 'timeout' });
    await batcher.whenIdle();
    expect([batcher.pending, runs]).toEqual([0, []]);
  });

  it('joins requests of an open model whose inputs have the same names and types, and no others', async () => {
    const { engine, runs } = engineOf();
    const { ask } = batcherOf(engine, {}, { open: true, signature: { inputs: [], outputs: [] } });
    await earnTrust(ask);
    runs.length = 0;
    const other = { ...row(3), name: 'other' };
    const whole = { ...row(4), datatype: 'INT32', data: Int32Array.of(4) } as Tensor;
    const all = await Promise.all([row(1), other, whole, row(2), other].map((input) => ask(input)));
    expect(runs).toEqual([2, 2, 1]);
    expect(all.map(({ values }) => values)).toEqual([[2], [6], [8], [4], [6]]);
  });
});
