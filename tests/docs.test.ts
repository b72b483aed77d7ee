/** What is generated from the code is as the code has it: run `npm run docs` after a change. */
import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { loadConfig } from '../src/config.js';
import { renderConfigDocs, renderEnvExample } from '../src/config-docs.js';
import { kindsTable } from '../src/core/events/kinds.js';
import { createApp } from '../src/gateway/app.js';
import type { Services } from '../src/gateway/services.js';
import { quietLog } from './support/quiet-log.js';

const committed = (path: string) => readFile(path, 'utf8');

it('docs/config.md is what the settings say', async () => {
  expect(await committed('docs/config.md')).toBe(renderConfigDocs());
});

it('.env.example parses to exactly the defaults', async () => {
  const example = await committed('.env.example');
  expect(example).toBe(renderEnvExample());
  const given = example.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const env = Object.fromEntries(given.map((line) => line.split(/=(.*)/s).slice(0, 2)));
  expect(loadConfig({ ...env, HOME: '/home/x' })).toEqual(loadConfig({ HOME: '/home/x' }));
});

it('docs/openapi.json is what the gateway serves', async () => {
  const app = createApp({ limits: {}, log: quietLog } as Services);
  const served = await (await app.request('/openapi.json')).json();
  expect(JSON.parse(await committed('docs/openapi.json'))).toEqual(served);
});

it('docs/events.md lists every kind of event', async () => {
  expect(await committed('docs/events.md')).toContain(kindsTable());
});
