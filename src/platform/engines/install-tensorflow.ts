/** Installs TensorFlow's library out of its Python package: two files of it, 0.9 GB, without Python or its dependencies. */
import { mkdir, rename, rm, rmdir, statfs, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '../../errors.js';
import { tryLock, unlock } from '../python/build-lock.js';
import { type InstalledEngine, MANIFEST, type Manifest, readInstalled } from './installed.js';
import { downloadWheel, type PythonTools, sha256Of, type UnpackedFile, unpackWheel } from './wheel.js';

/** The version that is installed unless another one is asked for: the one that this program is verified with. */
export const TENSORFLOW_VERSION = '2.21.0';

export interface InstallOptions extends PythonTools {
  readonly enginesFolder: string;
  readonly version: string;
  /** The build for NVIDIA's GPUs. */
  readonly cuda: boolean;
  /** Loads the library in a folder as a model server does; rejects with why it cannot be loaded on this machine. */
  readonly tryOut: (folder: string) => Promise<void>;
}

/** The libraries, and what their licence asks to be kept with them. */
const WANTED =
  /tensorflow\/(libtensorflow_(cc|framework)\.[\w.]+|THIRD_PARTY[\w.]*)|[^/]+\.dist-info\/(METADATA|LICEN[CS]E[\w.-]*)/;

/** What download and library take together, in bytes. */
const NEEDED = { cpu: 1.5 * 2 ** 30, cuda: 4 * 2 ** 30 };

const LOCK_POLL_MS = 500;

/** The folder that a version is installed into. */
export function installFolder(enginesFolder: string, version: string, cuda: boolean): string {
  return join(enginesFolder, `tensorflow-${version}${cuda ? '-cuda' : ''}`);
}

/**
 * Installs a version, unless it is there. The folder is whole or absent, whoever is killed when; a finished download is
 * used again by the next try. Two at once wait for one another. Errors as pip's (`upstream_failed`, `not_ready`,
 * `invalid`), `invalid` for a version that cannot be one, `not_ready` when the disk has too little space.
 */
export async function installTensorFlow(
  options: InstallOptions,
): Promise<{ installed: InstalledEngine; before: boolean }> {
  const { enginesFolder, version, cuda } = options;
  if (!/^\d+(\.\d+)+([a-z]+\d+)?$/.test(version)) {
    throw new AppError('invalid', `version is "${version}", expected one such as ${TENSORFLOW_VERSION}`);
  }
  const folder = installFolder(enginesFolder, version, cuda);
  await mkdir(enginesFolder, { recursive: true });
  const lock = `${folder}.lock`;
  await takeLock(lock, options);
  try {
    const there = await readInstalled(folder);
    if (there?.whole) return { installed: there, before: true };
    await checkSpace(enginesFolder, cuda);
    await install(options, folder);
    const installed = await readInstalled(folder);
    if (!installed?.whole) throw new AppError('internal', `${folder} is not as it was written`);
    return { installed, before: false };
  } finally {
    await unlock(lock);
  }
}

async function install(options: InstallOptions, folder: string): Promise<void> {
  const { enginesFolder, version, cuda } = options;
  const name = packageName(cuda);
  const download = join(enginesFolder, `.download-${basename(folder)}`);
  const draft = join(enginesFolder, `.draft-${basename(folder)}`);
  // of one that was killed: whoever holds the lock is alone with it
  await rm(draft, { recursive: true, force: true });
  try {
    options.onLine(`downloading ${name} ${version}`);
    const wheel = await downloadWheel(options, `${name}==${version}`, download);
    options.onLine('unpacking its libraries');
    await mkdir(draft);
    const files = await unpackWheel(options, wheel, draft, WANTED).catch(async (error) => {
      // one that is damaged stays so: the next try shall download it again
      if (error instanceof AppError && error.code === 'upstream_failed') await rm(download, { recursive: true });
      throw error;
    });
    checkLibraries(files, wheel);
    options.onLine('trying to load it');
    await options.tryOut(draft);
    const manifest: Manifest = {
      engine: 'tensorflow',
      version,
      cuda,
      wheel: basename(wheel),
      sha256: await sha256Of(wheel),
      files,
      installedAt: new Date().toISOString(),
    };
    await writeFile(join(draft, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
    // what is there has no manifest, or files that are not as it says
    await rm(folder, { recursive: true, force: true });
    await rename(draft, folder);
    await rm(download, { recursive: true, force: true });
  } finally {
    await rm(draft, { recursive: true, force: true });
    // of a download that failed nothing but its folder is left
    await rmdir(download).catch(() => {});
  }
}

/** On macOS there is one package for all. */
function packageName(cuda: boolean): string {
  return cuda || process.platform === 'darwin' ? 'tensorflow' : 'tensorflow-cpu';
}

function checkLibraries(files: readonly UnpackedFile[], wheel: string): void {
  if (files.some(({ path }) => path.startsWith('tensorflow/libtensorflow_cc.'))) return;
  throw new AppError('unsupported', `${basename(wheel)} holds no library libtensorflow_cc: ask for another version`);
}

async function checkSpace(enginesFolder: string, cuda: boolean): Promise<void> {
  const { bavail, bsize } = await statfs(enginesFolder);
  const [free, needed] = [bavail * bsize, NEEDED[cuda ? 'cuda' : 'cpu']];
  if (free >= needed) return;
  throw new AppError(
    'not_ready',
    `${enginesFolder} has ${gib(free)} GiB free, the installation takes ${gib(needed)} GiB`,
    {
      details: { free, needed },
    },
  );
}

function gib(bytes: number): string {
  return (bytes / 2 ** 30).toFixed(1);
}

async function takeLock(lock: string, { onLine, signal }: PythonTools): Promise<void> {
  for (let said = false; !(await tryLock(lock)); said = true) {
    if (!said) onLine('waiting for another process that installs it');
    await sleep(LOCK_POLL_MS, undefined, { signal }).catch(() => {
      throw new AppError('cancelled', 'cancelled while another process was waited for');
    });
  }
}
