import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { renderCliDocs } from './docs.js';

it('docs/cli.md is what the help says (npm run docs)', async () => {
  const page = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');
  expect(page).toBe(await renderCliDocs());
});
