/** The libraries that `sluice engines install` has put into a folder, each in a folder of its own with a manifest. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

/** Name of the manifest, which is written last: a folder without one is no engine. */
export const MANIFEST = 'engine.json';

const ENGINES = ['tensorflow', 'onnx'] as const;

/** An engine whose library can be installed. */
export type EngineName = (typeof ENGINES)[number];

export const manifestSchema = z.object({
  engine: z.enum(ENGINES),
  version: z.string(),
  /** Whether it is the build for NVIDIA's GPUs. */
  cuda: z.boolean(),
  /** The file that it was unpacked from, and its SHA-256 in hexadecimal. */
  wheel: z.string(),
  sha256: z.string(),
  /** Further files that its libraries were unpacked from. */
  others: z.array(z.object({ wheel: z.string(), sha256: z.string() })).default([]),
  files: z.array(z.object({ path: z.string(), bytes: z.number(), sha256: z.string() })),
  installedAt: z.string(),
});

export type Manifest = z.infer<typeof manifestSchema>;

export interface InstalledEngine extends Manifest {
  /** Where it lies on this machine. */
  readonly folder: string;
  /** Whether every file of the manifest is there in its size. */
  readonly whole: boolean;
}

/** What is installed of an engine in a folder, the newest version first; of one version the build for GPUs before the other. */
export async function listInstalled(enginesFolder: string, engine: EngineName): Promise<InstalledEngine[]> {
  const names = await readdir(enginesFolder).catch(() => []);
  const found = await Promise.all(names.map((name) => readInstalled(join(enginesFolder, name))));
  return found.flatMap((one) => (one?.engine === engine ? [one] : [])).sort(newestFirst);
}

/** The engine in one folder; undefined when there is none. */
export async function readInstalled(folder: string): Promise<InstalledEngine | undefined> {
  const text = await readFile(join(folder, MANIFEST), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const manifest = manifestSchema.safeParse(parsed(text));
  if (!manifest.success) return undefined;
  const whole = await Promise.all(manifest.data.files.map(({ path, bytes }) => hasSize(join(folder, path), bytes)));
  return { ...manifest.data, folder, whole: whole.every(Boolean) };
}

function newestFirst(a: InstalledEngine, b: InstalledEngine): number {
  return compareVersions(b.version, a.version) || Number(b.cuda) - Number(a.cuda);
}

/** Negative when `a` is older; by the numbers in the versions, a pre-release before its release. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [numbers(a), numbers(b)];
  for (let at = 0; at < Math.max(left.length, right.length); at++) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return Number(isRelease(a)) - Number(isRelease(b)) || (a < b ? -1 : a > b ? 1 : 0);
}

function numbers(version: string): number[] {
  return (/^\d+(\.\d+)*/.exec(version)?.[0] ?? '').split('.').map(Number);
}

function isRelease(version: string): boolean {
  return /^[\d.]+$/.test(version);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function hasSize(path: string, bytes: number): Promise<boolean> {
  return stat(path).then(
    (found) => found.size === bytes,
    () => false,
  );
}
