/** Keeps a number of connections busy for some seconds, by wrk where it is installed, else by load.mjs. */
import { spawn, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';

export interface LoadOptions {
  readonly url: string;
  readonly key: string;
  readonly connections: number;
  readonly seconds: number;
  readonly core: number | undefined;
}

export interface LoadReport {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers other than 200, and broken connections. */
  readonly errors: number;
  /** What the generator itself used. */
  readonly cpuSeconds: number;
}

export interface LoadGenerator {
  readonly name: string;
  run(options: LoadOptions): Promise<LoadReport>;
}

/** `folder` holds the script that wrk is given. */
export async function openLoadGenerator(folder: string, body: string): Promise<LoadGenerator> {
  if (spawnSync('wrk', ['-v']).error)
    return { name: 'load.mjs (node:http)', run: (options) => runBuiltIn(options, body) };
  const script = join(folder, 'post.lua');
  await writeFile(
    script,
    `wrk.method = 'POST'\nwrk.body = [[${body}]]\nwrk.headers['content-type'] = 'application/json'\n`,
  );
  return { name: 'wrk, one thread', run: (options) => runWrk(options, script) };
}

async function runWrk(options: LoadOptions, script: string): Promise<LoadReport> {
  const { connections, seconds, key, url } = options;
  const args = [
    '-t1',
    `-c${connections}`,
    `-d${seconds}s`,
    '--latency',
    '-s',
    script,
    '-H',
    `authorization: Bearer ${key}`,
    url,
  ];
  const { stdout, cpuSeconds } = await timed(['wrk', ...args], options.core, '');
  const find = (pattern: RegExp) => pattern.exec(stdout)?.[1] ?? '';
  const broken = [...(/Socket errors: .*/.exec(stdout)?.[0].matchAll(/\d+/g) ?? [])].reduce(
    (sum, [count]) => sum + Number(count),
    0,
  );
  return {
    requests: Number(find(/(\d+) requests in/)),
    perSecond: Number(find(/Requests\/sec:\s+([\d.]+)/)),
    p50Ms: milliseconds(find(/^ +50% +(\S+)$/m)),
    p99Ms: milliseconds(find(/^ +99% +(\S+)$/m)),
    errors: Number(find(/Non-2xx or 3xx responses: (\d+)/)) + broken,
    cpuSeconds,
  };
}

async function runBuiltIn(options: LoadOptions, body: string): Promise<LoadReport> {
  const { connections, seconds, key, url } = options;
  const command = [
    process.execPath,
    resolve('bench', 'hop', 'load.mjs'),
    url,
    String(connections),
    String(seconds),
    key,
  ];
  const { stdout, cpuSeconds } = await timed(command, options.core, body);
  return { ...(JSON.parse(stdout.split('\n')[0] ?? '') as Omit<LoadReport, 'cpuSeconds'>), cpuSeconds };
}

/** Runs a program to its end; the shell's `times` says what it used. */
async function timed(
  command: readonly string[],
  core: number | undefined,
  input: string,
): Promise<{ stdout: string; cpuSeconds: number }> {
  const pinned = core === undefined ? command : ['taskset', '-c', String(core), ...command];
  const child = spawn('sh', ['-c', '"$@"; times', 'sh', ...pinned], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(input);
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString('utf8');
  });
  await new Promise((done) => child.once('close', done));
  const [, minutes1 = '0', seconds1 = '0', minutes2 = '0', seconds2 = '0'] =
    /(\d+)m([\d.]+)s (\d+)m([\d.]+)s\s*$/.exec(stdout) ?? [];
  return { stdout, cpuSeconds: (Number(minutes1) + Number(minutes2)) * 60 + Number(seconds1) + Number(seconds2) };
}

/** wrk prints 870.00us, 1.27ms, 2.01s. */
function milliseconds(text: string): number {
  const [, value = '', unit = ''] = /^([\d.]+)(us|ms|s)$/.exec(text) ?? [];
  const factor = { us: 0.001, ms: 1, s: 1000 }[unit];
  if (factor === undefined) throw new Error(`wrk printed no latency: "${text}"`);
  return Number(value) * factor;
}
