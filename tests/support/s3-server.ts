import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../../src/platform/free-port.js';
import { signalGroup, spawnGuarded } from '../../src/platform/guard.js';
import { eventually } from './children.js';

const VERSION = 'v1.8.0';
const FOLDER = join(homedir(), '.cache', 'sluice-test', 'bin');
const PROGRAM = join(FOLDER, 'versitygw');

export interface TestS3 {
  readonly endpoint: string;
  readonly region: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** The folder whose folders are the buckets. */
  readonly folder: string;
  /** SIGKILL, and its folder goes. */
  stop(): Promise<void>;
}

/** Why there can be no S3 server here; undefined when there can. */
export function whyNoS3(): string | undefined {
  if (existsSync(PROGRAM)) return undefined;
  try {
    execFileSync('go', ['version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return `the S3 server (versitygw ${VERSION}) is not built yet and there is no Go to build it with`;
  }
}

/** A real S3 server (versitygw over a temporary folder) on a free port, built from its Go module the first time. */
export async function startS3(): Promise<TestS3> {
  if (!existsSync(PROGRAM)) await build();
  const folder = await mkdtemp(join(tmpdir(), 'sluice-s3-'));
  const [data, sidecar] = [join(folder, 'data'), join(folder, 'sidecar')];
  for (const each of [data, sidecar]) await mkdir(each);
  const port = await freePort();
  const credentials = { accessKeyId: 'sluice-test', secretAccessKey: 'sluice-test-secret' };
  const region = 'test-region-1';
  const child = spawnGuarded(
    PROGRAM,
    // metadata beside the files: a temporary folder may lie where there are no extended attributes
    ['--port', `127.0.0.1:${port}`, '--region', region, '--quiet', 'posix', '--sidecar', sidecar, data],
    {
      stopSignal: 'SIGTERM',
      graceMs: 1_000,
      cwd: folder,
      env: { ROOT_ACCESS_KEY_ID: credentials.accessKeyId, ROOT_SECRET_ACCESS_KEY: credentials.secretAccessKey },
    },
  );
  const ended = new Promise((resolve) => child.once('exit', resolve));
  await eventually(() => listens(port));
  return {
    endpoint: `http://127.0.0.1:${port}`,
    region,
    credentials,
    folder: data,
    stop: async () => {
      signalGroup(child, 'SIGKILL');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function build(): Promise<void> {
  // into a folder of its own, then moved, since several test files may do it at once
  await mkdir(FOLDER, { recursive: true });
  const draft = await mkdtemp(join(FOLDER, 'build-'));
  const module = `github.com/versity/versitygw/cmd/versitygw@${VERSION}`;
  await promisify(execFile)('sh', ['-c', `GOBIN="$1" exec nice -n 10 go install ${module}`, 'build', draft]);
  await rename(join(draft, 'versitygw'), PROGRAM);
  await rm(draft, { recursive: true, force: true });
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
