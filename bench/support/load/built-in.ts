import { resolve } from 'node:path';
import type { LoadOptions, LoadReport, RequestSet } from './load.js';
import { timed } from './timed.js';

const SCRIPT = resolve('bench', 'support', 'load', 'built-in.mjs');

/** Load by a program of our own. */
export async function runBuiltIn(options: LoadOptions, set: RequestSet): Promise<LoadReport> {
  const { url, connections, seconds, headers, core } = options;
  const plan = JSON.stringify({ url, connections, seconds, headers, folder: set.folder, count: set.count });
  const { stdout, cpuSeconds } = await timed([process.execPath, SCRIPT, plan], core);
  return { ...(JSON.parse(stdout) as Omit<LoadReport, 'cpuSeconds'>), cpuSeconds };
}
