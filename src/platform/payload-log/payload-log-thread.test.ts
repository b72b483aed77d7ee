import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { eventually } from '../../../tests/support/children.js';
import { eventServer } from '../../../tests/support/event-server.js';
import { payloadRecord } from '../../../tests/support/payload-records.js';
import { quietLog } from '../../../tests/support/quiet-log.js';
import type { Destination } from '../../core/payload-log/record.js';
import { payloadLogSchema } from '../../core/payload-log/settings.js';
import { PayloadLogThread } from './payload-log-thread.js';

const SCRIPT = fileURLToPath(new URL('../../../dist/payload-log.js', import.meta.url));
const folder = await mkdtemp(join(tmpdir(), 'sluice-payload-'));
const open: PayloadLogThread[] = [];
afterEach(async () => {
  for (const log of open.splice(0)) await log.close(100);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function start(script: string, bufferBytes = 2 ** 20) {
  const counts: Record<string, number> = {};
  const count = (what: string, many: number) => {
    counts[what] = (counts[what] ?? 0) + many;
  };
  const log = new PayloadLogThread({
    script,
    thread: { blobsUrl: folder, blobs: { cacheFolder: '/nowhere' }, log: { level: 'silent', format: 'json' } },
    bufferBytes,
    log: quietLog,
    onWritten: (endpoint, many) => count(`${endpoint} written`, many),
    onDropped: (endpoint, reason, many) => count(`${endpoint} ${reason}`, many),
  });
  open.push(log);
  return { log, counts };
}

const to = (url: string, endpoint = 'digits'): Destination => {
  const { sink } = payloadLogSchema.parse({ sink: { kind: 'http', url } });
  return { project: 'default', endpoint, sink };
};

function add(log: PayloadLogThread, destination: Destination, id: string, body = `{"id":"${id}"}`): boolean {
  const { data: _, ...record } = payloadRecord(id);
  const kept = log.keep(destination, Buffer.from(body));
  if (kept) log.add(destination, { ...record, pieces: [kept] });
  return kept !== undefined;
}

describe('the thread of the payload log', () => {
  it('is handed records, many at a time, and gives their memory back', async () => {
    const server = await eventServer();
    const { log, counts } = start(SCRIPT, 100_000);
    const destination = to(server.url);
    const body = JSON.stringify('x'.repeat(20_000));
    // more than there is memory for at once
    for (let i = 0; i < 20; i++) await eventually(() => add(log, destination, `r${i}`, body));
    await eventually(() => counts['digits written'] === 20);
    expect(server.taken.every((event) => event.body.toString() === body)).toBe(true);
    expect(counts).toEqual({ 'digits written': 20 });
  });

  it('writes what it has when it is closed, and takes nothing more', async () => {
    const server = await eventServer();
    const { log, counts } = start(SCRIPT);
    const destination = to(server.url);
    for (const id of ['a', 'b', 'c']) add(log, destination, id);
    await log.close(5_000);
    expect(counts).toEqual({ 'digits written': 3 });
    add(log, destination, 'd');
    expect(counts).toEqual({ 'digits written': 3, 'digits stopped': 1 });
  });

  it('counts what it could not write before its end', async () => {
    const server = await eventServer();
    server.answer = () => {};
    const { log, counts } = start(SCRIPT);
    for (const id of ['a', 'b']) add(log, to(server.url), id);
    await log.close(1);
    expect(counts).toEqual({ 'digits stopped': 2 });
  });

  it('is started again when it dies; what it had is counted', async () => {
    const server = await eventServer();
    const script = join(folder, 'dying.mjs');
    const well = join(folder, 'well');
    await writeFile(
      script,
      `import { existsSync } from 'node:fs';
       import { parentPort } from 'node:worker_threads';
       if (existsSync(${JSON.stringify(well)})) await import(${JSON.stringify(SCRIPT)});
       else parentPort.once('message', () => { throw new Error('an end'); });`,
    );
    const { log, counts } = start(script);
    const destination = to(server.url);
    for (const id of ['a', 'b']) add(log, destination, id);
    await eventually(() => counts['digits sink_failed'] === 2);
    await writeFile(well, '');
    await eventually(() => {
      add(log, destination, 'c');
      return (counts['digits written'] ?? 0) > 0;
    });
  });
});
