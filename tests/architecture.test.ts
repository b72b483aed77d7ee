/** The arrows of docs/architecture.md, read off the imports. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

const SRC = 'src';

/** room → rooms that it may import, besides itself. Leaves are the files directly below src. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  leaves: [],
  protocol: ['leaves'],
  core: ['leaves', 'protocol'],
  platform: ['leaves', 'protocol', 'core'],
  gateway: ['leaves', 'protocol', 'core'],
  workers: ['leaves', 'protocol', 'core'],
  runtimes: ['leaves', 'protocol'],
  cli: [],
  main: ['leaves', 'protocol', 'core', 'platform', 'gateway', 'workers', 'config'],
  config: ['leaves'],
};

/** Exceptions, each with its reason. */
const ALLOWED = new Set([
  // `sluice up` is the one command that is the platform
  'src/cli/up.ts → src/main/up.ts',
  // `sluice engines` looks at and changes this machine, where no gateway need run
  'src/cli/engines.ts → src/main/engines.ts',
]);

/** Longest file, in lines. */
const MAX_LINES = 350;

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .map((path) => join(SRC, path))
  .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'));

const source = new Map(files.map((file) => [file, readFileSync(file, 'utf8')]));

function roomOf(file: string): string {
  const [, first = ''] = file.split('/');
  if (/^src\/config(-docs|-schema)?\.ts$/.test(file)) return 'config';
  return first.endsWith('.ts') ? 'leaves' : first;
}

function importsOf(file: string): string[] {
  const text = source.get(file) ?? '';
  return [...text.matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)].map(([, path = '']) =>
    normalize(join(dirname(file), path)).replace(/\.js$/, '.ts'),
  );
}

describe('architecture', () => {
  it('has only the arrows of the table', () => {
    const wrong = files.flatMap((file) =>
      importsOf(file).flatMap((target) => {
        const [from, to] = [roomOf(file), roomOf(target)];
        const arrow = `${file} → ${target}`;
        return from === to || ARROWS[from]?.includes(to) || ALLOWED.has(arrow) ? [] : [arrow];
      }),
    );
    expect(wrong).toEqual([]);
  });

  it('knows every room', () => {
    expect([...new Set(files.map(roomOf))].filter((room) => !(room in ARROWS))).toEqual([]);
  });

  it('has no cycle of imports that run', () => {
    const runs = new Map(
      files.map((file) => {
        const text = (source.get(file) ?? '').replace(/import type[^;]*;/g, '').replace(/export type \{[^;]*;/g, '');
        const targets = [...text.matchAll(/from\s*'(\.[^']+)'/g)].map(([, path = '']) =>
          normalize(join(dirname(file), path)).replace(/\.js$/, '.ts'),
        );
        return [file, targets] as const;
      }),
    );
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) {
        cycles.push([...path.slice(path.indexOf(file)), file].join(' → '));
        return;
      }
      if (done.has(file)) return;
      for (const target of runs.get(file) ?? []) visit(target, [...path, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
    expect(cycles).toEqual([]);
  });

  it('reads the environment in config.ts alone', () => {
    // a pod's program is told by its container's environment, and starts without what reads the gateway's settings
    const allowed = new Set([
      'src/config.ts',
      'src/cli/settings.ts',
      'src/runtimes/pod/args.ts',
      'src/runtimes/node-cache/args.ts',
    ]);
    const readers = files.filter((file) => /process\.env\b/.test(source.get(file) ?? '') && !allowed.has(file));
    expect(readers).toEqual([]);
  });

  it('keeps files short', () => {
    const long = files
      .map((file) => [relative(SRC, file), (source.get(file) ?? '').split('\n').length] as const)
      .filter(([, lines]) => lines > MAX_LINES);
    expect(long).toEqual([]);
  });

  it('has no escape from the types', () => {
    const escapes = files.flatMap((file) =>
      (source.get(file) ?? '')
        .split('\n')
        .flatMap((line, at) =>
          /(: any\b|as any\b|@ts-ignore|@ts-expect-error)/.test(line) ? [`${file}:${at + 1}`] : [],
        ),
    );
    expect(escapes).toEqual([]);
  });
});
