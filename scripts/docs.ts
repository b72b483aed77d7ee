/** npm run docs: writes what is generated from the code - docs/config.md, .env.example, docs/cli.md, docs/openapi.json. */
import { writeFile } from 'node:fs/promises';
import { renderCliDocs } from '../src/cli/docs.js';
import { renderConfigDocs, renderEnvExample } from '../src/config-docs.js';
import { renderOpenApi } from '../src/gateway/openapi.js';

await writeFile('docs/config.md', renderConfigDocs());
await writeFile('.env.example', renderEnvExample());
await writeFile('docs/cli.md', await renderCliDocs());
await writeFile('docs/openapi.json', `${JSON.stringify(renderOpenApi(), null, 2)}\n`);
