import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { writeRequests } from '../support/load/load.js';
import { httpPrediction, variants } from '../support/predictions.js';
import { runOpenLoop } from './open-loop.js';

describe('open-loop load', () => {
  let requests = 0;
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      const turn = requests++ % 5;
      if (turn === 0) response.writeHead(429, { 'retry-after': '1' }).end();
      else if (turn === 1) response.writeHead(429).end();
      else if (turn === 2) response.writeHead(503).end();
      else if (turn === 3) response.destroy();
      else response.writeHead(200).end('{}');
    });
  });
  let folder = '';
  afterAll(async () => {
    server.close();
    if (folder !== '') await rm(folder, { recursive: true });
  });

  it('tells the admitted from the refused, and these from what should not be', async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-load-'));
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const set = await writeRequests(
      folder,
      variants(1, (rows) => httpPrediction('json', rows)),
    );
    const { port } = server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}/`;
    const report = await runOpenLoop({ url, headers: {}, perSecond: 500, seconds: 0.5 }, set);
    const turns = (turn: number) => Math.ceil((requests - turn) / 5);
    expect(report.sent).toBe(requests);
    expect(report.admitted.count).toBe(turns(4));
    expect(report.refused).toMatchObject({ count: turns(0) + turns(1), withoutRetryAfter: turns(1) });
    expect(report.others).toEqual({ 503: turns(2), broken: turns(3) });
  });
});
