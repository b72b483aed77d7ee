/** One long-lived installation: a data folder, a port, and `sluice up` as a process that is started again when it ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { childEnv } from '../../src/config.js';
import { freePort } from '../../src/platform/free-port.js';
import { type FoundProcess, findProcesses, killNow } from './processes.js';

/** As a service manager would: this long after the supervisor ended it is started again. */
const RESTART_MS = 100;
/** A stop that takes longer is a failure. */
const STOP_MS = 30_000;
const ADMIN_KEY = 'verify-faults-admin-key';

export interface Installation {
  readonly url: string;
  readonly key: string;
  readonly data: string;
  /** The supervisor that runs now; 0 between two. */
  pid(): number;
  /** How often the supervisor ended without being asked or killed. */
  unexpectedEnds(): number;
  /** Starts the supervisor, with the queue on Redis when a URL is given; it is started again until `stop`. */
  start(redisUrl: string | undefined): void;
  /** Asks the supervisor to stop and waits; answers what is left of the installation's processes. */
  stop(): Promise<FoundProcess[]>;
  /** Tells that the supervisor's next end is ours. */
  expectEnd(): void;
  processes(): FoundProcess[];
  /** The end of the platform's log. */
  lastLog(lines: number): Promise<string[]>;
  /** Kills what is left and removes the folders. */
  remove(): Promise<void>;
}

export async function createInstallation(): Promise<Installation> {
  const base = await mkdtemp(join(tmpdir(), 'sluice-faults-'));
  // its Postgres may be run by another user, who must pass through
  await chmod(base, 0o711);
  const [data, tmp, cache, logFile] = [join(base, 'data'), join(base, 'tmp'), join(base, 'cache'), join(base, 'log')];
  await mkdir(tmp);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const log = await open(logFile, 'a');
  let child: ChildProcess | undefined;
  let running: Promise<void> = Promise.resolve();
  let wanted = false;
  let expected = false;
  let unexpected = 0;

  const settings = (redisUrl: string | undefined) =>
    childEnv({
      TMPDIR: tmp,
      SLUICE_DATA_DIR: data,
      SLUICE_CACHE_DIR: cache,
      SLUICE_PORT: String(port),
      SLUICE_ADMIN_KEY: ADMIN_KEY,
      SLUICE_LOG_LEVEL: 'info',
      SLUICE_LOG_FORMAT: 'json',
      // slots for the jobs of a round side by side, whatever the machine has
      SLUICE_WORKER_CPUS: '4',
      SLUICE_WORKER_MEMORY_MB: '4096',
      DATABASE_URL: '',
      REDIS_URL: redisUrl ?? '',
      SLUICE_BLOBS_URL: '',
    });

  async function run(redisUrl: string | undefined): Promise<void> {
    while (wanted) {
      const started = spawn(process.execPath, ['--enable-source-maps', resolve('dist', 'sluice.js'), 'up'], {
        stdio: ['ignore', log.fd, log.fd],
        env: settings(redisUrl),
      });
      child = started;
      await new Promise((ended) => started.once('exit', ended));
      child = undefined;
      if (!wanted) return;
      if (!expected) unexpected++;
      expected = false;
      await sleep(RESTART_MS);
    }
  }

  const processes = () => findProcesses({ tmp, data });
  const installation: Installation = {
    url,
    key: ADMIN_KEY,
    data,
    pid: () => child?.pid ?? 0,
    unexpectedEnds: () => unexpected,
    start(redisUrl) {
      wanted = true;
      running = run(redisUrl);
    },
    async stop() {
      wanted = false;
      child?.kill('SIGTERM');
      const late = new AbortController();
      await Promise.race([running, sleep(STOP_MS, undefined, { signal: late.signal }).catch(() => {})]);
      late.abort();
      if (child) return processes();
      // the guards' watchers look every tenth of a second whether there is still something to watch
      for (const until = Date.now() + 2000; processes().length > 0 && Date.now() < until; ) await sleep(50);
      return processes();
    },
    expectEnd() {
      expected = true;
    },
    processes,
    async lastLog(lines) {
      return (await readFile(logFile, 'utf8')).trimEnd().split('\n').slice(-lines);
    },
    async remove() {
      wanted = false;
      for (const until = Date.now() + 10_000; Date.now() < until; await sleep(50)) {
        const left = processes();
        if (left.length === 0) break;
        for (const { pid } of left) killNow(pid);
      }
      await running;
      await log.close();
      await rm(base, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    },
  };
  return installation;
}
