import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { eventually } from '../../../tests/support/children.js';
import { payloadRecord, Tally } from '../../../tests/support/payload-records.js';
import { quietLog } from '../../../tests/support/quiet-log.js';
import { ManualClock } from '../../clock.js';
import { recordBytes } from '../../core/payload-log/budget.js';
import type { PayloadQuery } from '../../core/payload-log/reader.js';
import type { PayloadRecord } from '../../core/payload-log/record.js';
import type { BlobsSinkSettings } from '../../core/payload-log/settings.js';
import { openFiles } from '../blobs/open.js';
import { FileSink } from './file-sink.js';
import { Outage } from './outage.js';
import { createPayloadReader } from './read.js';

const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

const T = Date.UTC(2030, 0, 2, 3, 4, 5, 678);
const never = () => AbortSignal.timeout(60_000);

async function bench(more: Partial<BlobsSinkSettings> = {}, root?: string) {
  const folder = root ?? (await mkdtemp(join(tmpdir(), 'sluice-payload-')));
  if (root === undefined) folders.push(folder);
  const files = openFiles(folder, { cacheFolder: '/nowhere' });
  const settings = {
    kind: 'blobs',
    prefix: '',
    format: 'jsonl',
    intervalSec: 60,
    maxFileBytes: 2 ** 24,
    ...more,
  } as const;
  const place = { project: 'default', endpoint: 'digits', prefix: settings.prefix };
  const tally = new Tally();
  const clock = new ManualClock(T);
  const outage = new Outage(quietLog, 'digits');
  const sink = new FileSink({ settings, place, files, report: tally, outage, clock });
  const read = async (query: Partial<PayloadQuery> = {}) => {
    const found: PayloadRecord[] = [];
    const span = { fromMs: T - 3_600_000, toMs: T + 3_600_000 };
    for await (const record of createPayloadReader(files).records({ ...place, ...span, ...query })) found.push(record);
    return found;
  };
  const names = async () => (await files.list('payload-log')).map(({ name }) => name);
  return { folder, files, sink, tally, clock, read, names };
}

const ids = (records: readonly PayloadRecord[]) => records.map(({ id }) => id);
const at = (id: string, offsetMs: number, more: Partial<PayloadRecord> = {}) =>
  payloadRecord(id, { timeMs: T + offsetMs, ...more });

describe.each(['jsonl', 'parquet'] as const)('a sink of files, %s', (format) => {
  it('writes a file when it is old enough, whole, under its day and times', async () => {
    const { sink, tally, clock, read, names } = await bench({ format });
    sink.add([at('a', 1), at('b', 3)]);
    await clock.advance(2_000);
    sink.tick();
    // memory is free when the draft has it; written it is when it can be read
    await eventually(() => tally.freedBytes === 2 * recordBytes(10));
    expect(await names()).toEqual([]);
    sink.add([at('c', 2)]);
    await clock.advance(58_000);
    sink.tick();
    await eventually(() => tally.count === 3);
    expect(sink.idle).toBe(true);
    const [name, ...others] = await names();
    expect(others).toEqual([]);
    expect(name).toMatch(
      new RegExp(
        `^payload-log/default/digits/2030-01-02/20300102T030405\\.679Z-20300102T030405\\.681Z-[0-9a-f]{8}\\.${format}$`,
      ),
    );
    expect(ids(await read())).toEqual(['a', 'b', 'c']);
  });

  it('begins a new file when one is large enough', async () => {
    const { sink, tally, read, names } = await bench({ format, maxFileBytes: 65_536 });
    const data = Buffer.from(JSON.stringify(Array.from({ length: 200_000 }, (_, i) => (i * 7919) % 10_007)));
    for (const id of ['a', 'b', 'c', 'd']) sink.add([at(id, 0, { data })]);
    await eventually(() => tally.count >= 2);
    await sink.close(never());
    expect((await names()).length).toBeGreaterThan(1);
    expect(ids(await read()).sort()).toEqual(['a', 'b', 'c', 'd']);
    expect(data.equals((await read())[0]?.data ?? Buffer.alloc(0))).toBe(true);
    expect(tally).toMatchObject({ count: 4, drops: {} });
  });

  it('writes what there is when it is closed', async () => {
    const { sink, tally, read, folder } = await bench({ format, prefix: 'team/logs' });
    sink.add([at('a', 0)]);
    await sink.close(never());
    expect(tally).toMatchObject({ count: 1, drops: {}, freedBytes: recordBytes(10) });
    expect(ids(await read())).toEqual(['a']);
    expect(await readdir(join(folder, 'team/logs/payload-log/default/digits'))).toEqual(['2030-01-02']);
    expect(await readdir(join(folder, 'tmp'))).toEqual([]);
  });
});

describe('a sink of files', () => {
  it('gives records up, counted, when there is no writing, and goes on when there is', async () => {
    const root = await mkdtemp(join(tmpdir(), 'sluice-payload-'));
    folders.push(root);
    // a file where the folder should be
    const blocked = join(root, 'blobs');
    await writeFile(blocked, '');
    const { sink, tally, clock, read } = await bench({}, blocked);
    sink.add([at('a', 0), at('b', 0)]);
    await clock.advance(2_000);
    sink.tick();
    await eventually(() => tally.drops.sink_failed === 2);
    expect(tally.freedBytes).toBe(2 * recordBytes(10));
    await rm(blocked);
    sink.add([at('c', 0)]);
    await sink.close(never());
    expect(tally.count).toBe(1);
    expect(ids(await read())).toEqual(['c']);
  });

  it('tries a file again that did not get its name', async () => {
    const { sink, tally, clock, read, folder } = await bench();
    await writeFile(join(folder, 'payload-log'), 'in the way');
    sink.add([at('a', 0)]);
    const closed = sink.close(never());
    await eventually(async () => (await readdir(join(folder, 'tmp')).catch(() => [])).length === 1);
    await rm(join(folder, 'payload-log'));
    await eventually(async () => {
      await clock.advance(1_000);
      return tally.count === 1;
    });
    await closed;
    expect(ids(await read())).toEqual(['a']);
  });

  it('gives a file up that never gets its name', async () => {
    const { sink, tally, clock, folder } = await bench();
    await writeFile(join(folder, 'payload-log'), 'in the way');
    sink.add([at('a', 0)]);
    const closed = sink.close(never());
    await eventually(async () => {
      await clock.advance(20_000);
      return tally.drops.sink_failed === 1;
    });
    await closed;
    expect(await readdir(join(folder, 'tmp'))).toEqual([]);
  });
});

describe('reading', () => {
  it('gives the records of a span, of one kind where asked, from files of either format', async () => {
    const { folder, sink, read } = await bench();
    sink.add([at('a', -1000), at('b', 0), at('b', 5, { kind: 'response', status: 200, latencyMs: 5 })]);
    await sink.close(never());
    const other = await bench({ format: 'parquet' }, folder);
    other.sink.add([at('c', 1000), at('c', 1010, { kind: 'response', status: 500, latencyMs: 10 })]);
    await other.sink.close(never());
    expect(ids(await read())).toEqual(['a', 'b', 'b', 'c', 'c']);
    expect(ids(await read({ fromMs: T, toMs: T + 1000 }))).toEqual(['b', 'b']);
    const answers = await read({ kind: 'response' });
    expect(answers.map(({ id, status, latencyMs }) => [id, status, latencyMs])).toEqual([
      ['b', 200, 5],
      ['c', 500, 10],
    ]);
    expect(await read({ fromMs: T + 5000, toMs: T + 6000 })).toEqual([]);
    expect(await read({ endpoint: 'digit' })).toEqual([]);
  });

  it('finds what a file that began the day before has of the span, and spans of years', async () => {
    const { sink, read } = await bench();
    const midnight = Date.UTC(2030, 0, 3);
    sink.add([payloadRecord('late', { timeMs: midnight - 5 }), payloadRecord('early', { timeMs: midnight + 5 })]);
    await sink.close(never());
    expect(ids(await read({ fromMs: midnight, toMs: midnight + 1000 }))).toEqual(['early']);
    expect(ids(await read({ fromMs: 0, toMs: midnight }))).toEqual(['late']);
    expect(ids(await read({ fromMs: 0, toMs: Number.MAX_SAFE_INTEGER }))).toEqual(['late', 'early']);
  });

  it('passes over files that are none of the log', async () => {
    const { sink, read, files } = await bench();
    sink.add([at('a', 0)]);
    await sink.close(never());
    const draft = await files.create();
    await draft.append(Buffer.from('hello'));
    await draft.publish('payload-log/default/digits/2030-01-02/notes.txt');
    expect(ids(await read())).toEqual(['a']);
  });
});
