/** npm run docs: writes what is generated from the code - docs/config.md, .env.example, docs/cli.md, docs/openapi.json, the table of docs/events.md. */
import { readFile, writeFile } from 'node:fs/promises';
import { renderCliDocs } from '../src/cli/docs.js';
import { renderConfigDocs, renderEnvExample } from '../src/config-docs.js';
import { kindsTable } from '../src/core/events/kinds.js';
import { createApp } from '../src/gateway/app.js';
import type { Services } from '../src/gateway/services.js';
import { createLog } from '../src/log.js';

await writeFile('docs/config.md', renderConfigDocs());
await writeFile('.env.example', renderEnvExample());
await writeFile('docs/cli.md', await renderCliDocs());
// the document needs the routes alone, and none of what they work with
const document = await createApp({
  limits: {},
  log: createLog({ level: 'error', format: 'text' }),
} as Services).request('/openapi.json');
await writeFile('docs/openapi.json', `${JSON.stringify(await document.json(), null, 2)}\n`);
const events = await readFile('docs/events.md', 'utf8');
const [before = ''] = events.split('<!-- kinds -->');
const [, after = ''] = events.split('<!-- end -->');
await writeFile('docs/events.md', `${before}<!-- kinds -->\n${kindsTable()}\n<!-- end -->${after}`);
