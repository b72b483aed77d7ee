import { join } from 'node:path';
import { usageError } from '../exit.js';

/** Where a name of an archive or bucket goes below a folder; a name that leads out of it is refused. */
export function pathBelow(folder: string, name: string, from: string): string {
  const parts = name
    .replaceAll('\\', '/')
    .split('/')
    .filter((part) => part !== '' && part !== '.');
  if (name.startsWith('/') || parts.includes('..'))
    throw usageError(`${from} holds "${name}", which leads out of its folder`);
  return join(folder, ...parts);
}
