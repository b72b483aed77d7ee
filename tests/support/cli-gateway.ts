/** The real gateway's app on a real socket, for tests of the command line. Predictions alone are answered here. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { serve } from '@hono/node-server';
import { afterAll } from 'vitest';
import { cli, type Ran } from './cli.js';
import { type TestGateway, testGateway } from './test-services.js';

export interface CliGateway {
  readonly gateway: TestGateway;
  /** What tells the command line where it is and who asks. */
  readonly env: Readonly<Record<string, string>>;
  /** Predictions that came. */
  readonly asked: { path: string; headers: Headers; body: string }[];
  /** How many blobs were sent. */
  readonly puts: () => number;
  /** Runs a command line as the administrator. */
  cli(words: string | readonly string[], stdin?: string): Promise<Ran>;
  /** Writes a file below a folder that goes after the tests. */
  write(path: string, text: string): string;
}

// registered while the file is collected: a hook that a hook registers never runs
const closers: (() => void)[] = [];
afterAll(() => {
  for (const close of closers.splice(0)) close();
});

/** Starts it; it ends after the file's tests. */
export async function cliGateway(): Promise<CliGateway> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-cli-'));
  const gateway = await testGateway();
  const asked: CliGateway['asked'] = [];
  let puts = 0;
  const server = serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: async (request) => {
      const { pathname } = new URL(request.url);
      if (request.method === 'PUT' && pathname.startsWith('/api/v1/blobs/')) puts++;
      if (!pathname.startsWith('/v2/')) return gateway.app.fetch(request);
      if (request.method === 'POST')
        asked.push({ path: pathname, headers: request.headers, body: await request.text() });
      return request.method === 'GET' ? metadata() : prediction();
    },
  });
  await new Promise((ready) => server.once('listening', ready));
  closers.push(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });
  const env = {
    SLUICE_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    SLUICE_KEY: gateway.keys.admin,
  };
  return {
    gateway,
    env,
    asked,
    puts: () => puts,
    cli: (words, stdin) => cli(words, { env, ...(stdin === undefined ? {} : { stdin }) }),
    write(path, text) {
      const file = join(folder, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
      return file;
    },
  };
}

function metadata(): Response {
  return Response.json({ name: 'm', inputs: [{ name: 'x', datatype: 'INT64', shape: [-1, 2] }], outputs: [] });
}

function prediction(): Response {
  const text =
    '{"model_name":"m","outputs":[{"name":"y","datatype":"INT64","shape":[1,2],"data":[9007199254740993,2]}]}';
  return new Response(text, {
    headers: { 'content-type': 'application/json', 'sluice-revision': '3', 'sluice-model-version': '7' },
  });
}
