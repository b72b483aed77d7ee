import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError, messageOf } from '../../errors.js';
import type { Log } from '../../log.js';
import { freePort } from '../free-port.js';
import { signalGroup, spawnGuarded } from '../guard.js';
import { type PostgresBinaries, postgresBinaries } from './postgres-binaries.js';
import { endFormerServer, ownFolder, readPidFile } from './postgres-lock.js';
import { checkReach, giveTo, type PostgresUser, postgresUser } from './postgres-user.js';

const USER = 'sluice';
const START_TIMEOUT_MS = 60_000;
const STOP_GRACE_MS = 5_000;

/** Small and quick for one machine; `fsync` and `synchronous_commit` stay on, since what was accepted must survive. */
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  shared_buffers: '64MB',
  max_connections: '100',
  fsync: 'on',
  synchronous_commit: 'on',
  max_wal_size: '512MB',
  // a container's /dev/shm is often too small for parallel hash joins, and the tables here are small
  max_parallel_workers_per_gather: '0',
  jit: 'off',
  io_method: 'sync',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_line_prefix: '',
} as const;

/** Where the server keeps its data, and who hears its log (at level debug). */
export interface EmbeddedPostgresOptions {
  /** Everything of this server lives here: data, password, port. Made when it is not there. */
  readonly folder: string;
  readonly log: Log;
}

/** How the server ended. */
export interface PostgresExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Whether `stop` was called before. */
  readonly asked: boolean;
  /** The last lines of its log, oldest first. */
  readonly lastLines: readonly string[];
}

/** A running server. */
export interface EmbeddedPostgres {
  /** Connection string of the database `postgres`, password included; good for as long as the folder exists and the port stays. */
  readonly url: string;
  readonly pid: number;
  /** Ends the server: connections are cut, what is committed stays. Resolves when it has ended; may be called again. */
  stop(): Promise<void>;
  /** Resolves when the server ends, asked or not; never rejects. */
  readonly exited: Promise<PostgresExit>;
}

/**
 * Starts a real Postgres server on 127.0.0.1 and resolves when it accepts connections. The port of the last time is used
 * again when it is free. The server cannot outlive this process. `conflict` when another living process runs this folder.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const folder = resolve(options.folder);
  const log = options.log;
  const user = postgresUser();
  await mkdir(folder, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw new AppError('internal', `cannot make the folder of the embedded Postgres, ${folder}: ${messageOf(error)}`, {
      cause: error,
    });
  });
  const binaries = await postgresBinaries(join(folder, 'lib'));
  await giveTo(user, folder);
  checkReach(user, folder, binaries.postgres);
  const release = await ownFolder(folder);
  try {
    const machine: Machine = { folder, data: join(folder, 'data'), binaries, user, log };
    const password = await initialize(machine);
    await endFormerServer(machine.data, log);
    return await start(machine, password, release);
  } catch (error) {
    await release();
    throw error;
  }
}

interface Machine {
  readonly folder: string;
  readonly data: string;
  readonly binaries: PostgresBinaries;
  readonly user: PostgresUser;
  readonly log: Log;
}

/** Makes the data folder when there is none, whole or not at all, and returns the password. */
async function initialize(machine: Machine): Promise<string> {
  const { folder, data, user } = machine;
  const passwordFile = join(folder, 'password');
  if (await stat(data).catch(() => undefined)) {
    const password = await readFile(passwordFile, 'utf8').catch((error: unknown) => {
      throw new AppError('internal', `the password of the embedded Postgres cannot be read from ${passwordFile}`, {
        cause: error,
      });
    });
    return password.trim();
  }
  const password = randomBytes(24).toString('base64url');
  await rm(passwordFile, { force: true });
  const file = await open(passwordFile, 'wx', 0o600);
  await file.writeFile(`${password}\n`);
  await file.sync();
  await file.close();
  if (user.uid !== undefined && user.gid !== undefined) await chown(passwordFile, user.uid, user.gid);
  for (const name of await readdir(folder)) {
    if (name.startsWith('data.new-')) await rm(join(folder, name), { recursive: true, force: true });
  }
  const fresh = join(folder, `data.new-${process.pid}`);
  const begin = Date.now();
  const child = spawnServerProgram(machine, machine.binaries.initdb, [
    `--pgdata=${fresh}`,
    `--username=${USER}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--no-instructions',
  ]);
  const { code, signal, lastLines } = await follow(child, machine.log, () => false);
  if (code !== 0) {
    await rm(fresh, { recursive: true, force: true });
    throw new AppError(
      'internal',
      `initdb in ${folder} failed (${signal ?? `code ${code}`}): ${lastLines.join(' / ')}`,
    );
  }
  await rename(fresh, data);
  machine.log.debug('made a new Postgres data folder', { folder: data, ms: Date.now() - begin });
  return password;
}

async function start(machine: Machine, password: string, release: () => Promise<void>): Promise<EmbeddedPostgres> {
  const portFile = join(machine.folder, 'port');
  const deadline = Date.now() + START_TIMEOUT_MS;
  let preferred = Number(await readFile(portFile, 'utf8').catch(() => '')) || undefined;
  for (;;) {
    const port = await freePort(preferred);
    const attempt = run(machine, port);
    const ended = await untilReady(machine, attempt, deadline);
    if (!ended) {
      if (port !== preferred) await writeFile(portFile, `${port}\n`);
      const url = `postgres://${USER}:${password}@127.0.0.1:${port}/postgres`;
      const exited = attempt.exited.finally(() => release().catch(() => undefined));
      const stop = async () => {
        await attempt.stop();
        await exited;
      };
      return { url, pid: attempt.pid, stop, exited };
    }
    const said = ended.lastLines.join('\n');
    const taken = /could not bind|could not create any TCP\/IP sockets/.test(said);
    // backends of a killed server hold its memory for a moment; its own file lock follows them
    const held = /pre-existing shared memory block|lock file "postmaster\.pid" already exists/.test(said);
    if (Date.now() > deadline || !(taken || held)) {
      const how = ended.signal ?? `code ${ended.code}`;
      throw new AppError(
        'internal',
        `Postgres in ${machine.folder} did not start (${how}): ${ended.lastLines.join(' / ')}`,
      );
    }
    preferred = taken ? undefined : port;
    await sleep(50);
  }
}

interface Attempt {
  readonly pid: number;
  readonly exited: Promise<PostgresExit>;
  stop(): Promise<void>;
}

function run(machine: Machine, port: number): Attempt {
  const settings = Object.entries({ ...SETTINGS, port: String(port) }).flatMap(([key, value]) => [
    '-c',
    `${key}=${value}`,
  ]);
  const child = spawnServerProgram(machine, machine.binaries.postgres, ['-D', machine.data, ...settings]);
  let asked = false;
  const exited = follow(child, machine.log, () => asked);
  const endedWithin = (ms: number) => {
    const timer = new AbortController();
    const late = sleep(ms, false, { signal: timer.signal }).catch(() => false);
    return Promise.race([exited.then(() => true), late]).finally(() => timer.abort());
  };
  return {
    pid: child.pid ?? 0,
    exited,
    stop: async () => {
      asked = true;
      child.kill('SIGINT');
      if (await endedWithin(STOP_GRACE_MS)) return;
      child.kill('SIGQUIT');
      if (await endedWithin(STOP_GRACE_MS)) return;
      signalGroup(child, 'SIGKILL');
      await exited;
    },
  };
}

/** Undefined when the server accepts connections, else how it ended before that. */
async function untilReady(machine: Machine, attempt: Attempt, deadline: number): Promise<PostgresExit | undefined> {
  let ended: PostgresExit | undefined;
  void attempt.exited.then((exit) => {
    ended = exit;
  });
  while (!ended) {
    const file = await readPidFile(machine.data);
    if (file?.ready && file.pid === attempt.pid) return undefined;
    if (Date.now() > deadline) await attempt.stop();
    await sleep(5);
  }
  return ended;
}

function spawnServerProgram(machine: Machine, program: string, args: readonly string[]): ChildProcess {
  const { binaries, user, folder } = machine;
  return spawnGuarded(program, args, {
    stopSignal: 'SIGINT',
    killSignal: 'SIGQUIT',
    graceMs: STOP_GRACE_MS,
    cwd: folder,
    // a clean environment: a PGDATA or PGPORT of the user's must not reach it
    env: {
      PATH: '/usr/bin:/bin',
      LC_ALL: 'C',
      TZ: 'UTC',
      ...(binaries.libraryPath === undefined ? {} : { LD_LIBRARY_PATH: binaries.libraryPath }),
    },
    stdio: ['ignore', 'pipe'],
    ...user,
  });
}

/** Sends the program's log to ours and resolves when it has ended. */
function follow(child: ChildProcess, log: Log, asked: () => boolean): Promise<PostgresExit> {
  const lastLines: string[] = [];
  if (child.stderr) {
    createInterface({ input: child.stderr }).on('line', (line) => {
      lastLines.push(line);
      if (lastLines.length > 20) lastLines.shift();
      if (/^PANIC:/.test(line)) log.error('postgres', { line });
      else log.debug('postgres', { line });
    });
  }
  return new Promise((done) => {
    child.once('error', (error) => done({ code: null, signal: null, asked: asked(), lastLines: [error.message] }));
    child.once('exit', (code, signal) => {
      // the last lines may still be on their way; surviving backends hold the pipe for longer than is of interest
      const finish = () => done({ code, signal, asked: asked(), lastLines });
      const timer = setTimeout(finish, 200);
      child.once('close', () => {
        clearTimeout(timer);
        finish();
      });
    });
  });
}
