/**
 * Writes what an image has in /app, for the Dockerfiles: the same files as in the archives of `npm run images`.
 *
 *     node scripts/images/app-folder.mjs sluice|runtime OUT
 */
import { cpSync, rmSync } from 'node:fs';
import { PROGRAMS, programs } from './layers.mjs';

const [which, out] = process.argv.slice(2);
if (!(which in PROGRAMS) || out === undefined) {
  console.error('usage: node scripts/images/app-folder.mjs sluice|runtime OUT');
  process.exit(2);
}
const folder = programs(PROGRAMS[which]);
cpSync(folder.at('/app'), out, { recursive: true, verbatimSymlinks: true });
rmSync(folder.path, { recursive: true });
