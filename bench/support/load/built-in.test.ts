import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { httpPrediction, VARIANTS, variants } from '../predictions.js';
import { runBuiltIn } from './built-in.js';
import { writeRequests } from './load.js';

describe('built-in load', () => {
  const bodies = new Map<string, number>();
  const keys = new Set<unknown>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    keys.add(request.headers.authorization);
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('latin1');
      bodies.set(body, (bodies.get(body) ?? 0) + 1);
      response.writeHead(body === [...bodies.keys()][0] ? 500 : 200).end();
    });
  });
  let folder = '';
  afterAll(async () => {
    server.close();
    if (folder !== '') await rm(folder, { recursive: true });
  });

  it('sends the bodies in turn, with all headers, and counts errors', async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-load-'));
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const set = await writeRequests(
      folder,
      variants(2, (rows) => httpPrediction('binary', rows)),
    );
    const { port } = server.address() as AddressInfo;
    const report = await runBuiltIn(
      {
        url: `http://127.0.0.1:${port}/`,
        headers: { ...set.headers, authorization: 'Bearer me' },
        connections: 2,
        seconds: 0.2,
        core: undefined,
      },
      set,
    );
    expect(bodies.size).toBe(VARIANTS);
    expect([...keys]).toEqual(['Bearer me']);
    expect(report.requests).toBe([...bodies.values()].reduce((sum, times) => sum + times, 0));
    expect(report.errors).toBe([...bodies.values()][0]);
    expect(report.cpuSeconds).toBeGreaterThan(0);
    expect(report.p99Ms).toBeGreaterThanOrEqual(report.p50Ms);
  });
});
