/**
 * `sluice up`: one machine's whole platform. Starts Postgres (unless DATABASE_URL names one), the gateway and the worker,
 * starts again what dies, and leaves nothing behind: its children end when their channel to it closes, however it ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Config, childEnv } from '../config.js';
import { newKey } from '../core/access/key.js';
import { AppError } from '../errors.js';
import type { Log } from '../log.js';
import type { ChildMessage } from './child.js';
import { program } from './paths.js';
import { type Running, runForever } from './run-forever.js';

export interface Platform {
  readonly url: string;
  readonly adminKey: string;
  /** Where the admin key is kept; undefined when the settings gave it. */
  readonly adminKeyFile: string | undefined;
  /** True when this start made the admin key. */
  readonly firstStart: boolean;
  stop(): Promise<void>;
}

/** Starts the platform; resolves when the gateway answers. */
export async function startPlatform(config: Config, log: Log): Promise<Platform> {
  await dataFolder(config.dataDir);
  const admin = await adminKey(config);
  const parts: Running[] = [];
  const children = new Set<ChildProcess>();
  const stop = async () => {
    // in reverse: who needs the database goes before it
    for (const part of parts.reverse()) await part.stop();
  };
  try {
    let databaseUrl = config.databaseUrl;
    if (databaseUrl === undefined) {
      const { startEmbeddedPostgres } = await import('../platform/db/embedded-postgres.js');
      const postgres = await runForever('postgres', log, async () => {
        const server = await startEmbeddedPostgres({ folder: join(config.dataDir, 'postgres'), log });
        const moved = databaseUrl !== undefined && databaseUrl !== server.url;
        databaseUrl = server.url;
        // somebody took its port while it was down: who knows only the old one begins anew
        if (moved) for (const process_ of children) process_.kill('SIGTERM');
        return {
          pid: server.pid,
          exited: server.exited.then(
            ({ code, signal, lastLines }) => `${signal ?? `code ${code}`} ${lastLines.slice(-1).join('')}`,
          ),
          stop: () => server.stop(),
        };
      });
      parts.push(postgres);
    }
    let port = config.port;
    let url = '';
    const worker = runForever('worker', log, () => child('worker', { DATABASE_URL: databaseUrl }, children).ready);
    const gateway = runForever('gateway', log, async () => {
      const started = child(
        'gateway',
        {
          DATABASE_URL: databaseUrl,
          SLUICE_ADMIN_KEY: admin.key,
          SLUICE_PORT: String(port),
        },
        children,
      );
      const running = await started.ready;
      url = running.url;
      // a free port that was taken once is kept: clients have it
      port = Number(new URL(url).port);
      return running;
    });
    for (const part of await Promise.allSettled([worker, gateway])) {
      if (part.status === 'fulfilled') parts.push(part.value);
    }
    await gateway;
    await worker;
    return { url, adminKey: admin.key, adminKeyFile: admin.file, firstStart: admin.made, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * The data folder, closed to others. When root runs the platform, its Postgres is run by an ordinary user, who must be
 * able to pass through; the folders inside stay closed.
 */
async function dataFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
  for (const inside of ['blobs', 'work']) await mkdir(join(path, inside), { recursive: true, mode: 0o700 });
  await chmod(path, process.getuid?.() === 0 ? 0o711 : 0o700);
}

interface Child {
  readonly pid: number;
  readonly url: string;
  readonly exited: Promise<string>;
  stop(): Promise<void>;
}

/** Starts a program; it is in `running` for as long as its process is. */
function child(
  name: 'gateway' | 'worker',
  env: Record<string, string | undefined>,
  running: Set<ChildProcess>,
): { ready: Promise<Child> } {
  const process_ = spawn(process.execPath, [program(name)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: childEnv(env),
  });
  const exited = new Promise<string>((resolve) => {
    process_.once('error', (error) => resolve(error.message));
    process_.once('exit', (code, signal) => resolve(signal ?? `code ${code}`));
  });
  running.add(process_);
  void exited.then(() => running.delete(process_));
  const answered = once(process_, 'message').then(([message]: ChildMessage[]) => message);
  const ready = Promise.race([answered, exited]).then((outcome): Child => {
    const { pid } = process_;
    if (pid === undefined || outcome === undefined || typeof outcome === 'string' || outcome.kind === 'failed') {
      const why = typeof outcome === 'object' && outcome.kind === 'failed' ? outcome.error : `it ended with ${outcome}`;
      throw new AppError('internal', `the ${name} did not start: ${why}`);
    }
    return {
      pid,
      url: outcome.url ?? '',
      exited,
      async stop() {
        process_.kill('SIGTERM');
        await exited;
      },
    };
  });
  return { ready };
}

/** The administrator's key: from the settings, or made at the first start and kept where only its owner reads it. */
async function adminKey(config: Config): Promise<{ key: string; file: string | undefined; made: boolean }> {
  if (config.adminKey !== undefined) return { key: config.adminKey, file: undefined, made: false };
  const file = join(config.dataDir, 'admin-key');
  const known = await readFile(file, 'utf8').catch(() => undefined);
  if (known?.trim()) return { key: known.trim(), file, made: false };
  const key = newKey();
  const handle = await open(file, 'w', 0o600);
  await handle.writeFile(`${key}\n`);
  await handle.sync();
  await handle.close();
  return { key, file, made: true };
}
