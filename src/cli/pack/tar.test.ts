import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { packCode } from './archive.js';
import { parseIgnore } from './ignore.js';
import { tarHeader } from './tar.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-pack-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(path: string, text: string): string {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

function list(archive: string): string[] {
  return execFileSync('tar', ['-tzf', archive], { encoding: 'utf8' }).trim().split('\n');
}

describe('packCode', () => {
  it('makes an archive that tar reads, sorted, with contents and modes', async () => {
    write('src/train.py', 'print(1)\n');
    const script = write('run.sh', '#!/bin/sh\n');
    chmodSync(script, 0o750);
    write('data/übung.txt', 'ü'.repeat(1000));
    write('empty', '');
    const archive = await packCode(folder);
    const out = mkdtempSync(join(tmpdir(), 'sluice-unpack-'));
    try {
      const names = execFileSync('tar', ['-tzf', archive.file, '--quoting-style=literal'], { encoding: 'utf8' });
      expect(names.trim().split('\n')).toEqual(['data/übung.txt', 'empty', 'run.sh', 'src/train.py']);
      execFileSync('tar', ['-xzf', archive.file, '-C', out]);
      expect(readFileSync(join(out, 'data/übung.txt'), 'utf8')).toBe('ü'.repeat(1000));
      const verbose = execFileSync('tar', ['-tvzf', archive.file, '--utc', '--numeric-owner'], { encoding: 'utf8' });
      expect(verbose).toMatch(/-rwxr-xr-x 0\/0 +10 1970-01-01 00:00 run\.sh/);
      expect(verbose).toMatch(/-rw-r--r-- 0\/0 +9 1970-01-01 00:00 src\/train\.py/);
    } finally {
      rmSync(out, { recursive: true });
      await archive.remove();
    }
  });

  it('gives the same content the same digest, whenever it was written', async () => {
    const file = write('b.py', 'b');
    write('a.py', 'a');
    const first = await packCode(folder);
    utimesSync(file, 1, 1);
    const second = await packCode(folder);
    writeFileSync(file, 'c');
    const third = await packCode(folder);
    expect(second.digest).toBe(first.digest);
    expect(third.digest).not.toBe(first.digest);
    expect(execFileSync('sha256sum', [first.file], { encoding: 'utf8' })).toContain(first.digest.slice(7));
    for (const archive of [first, second, third]) await archive.remove();
  });

  it('leaves out what nobody wants and what .sluiceignore names', async () => {
    for (const path of [
      '.git/HEAD',
      'a/__pycache__/x.pyc',
      'node_modules/x.js',
      '.venv/bin/python',
      'a/x.log',
      'keep.log',
      'out/big',
      'train.py',
    ]) {
      write(path, 'x');
    }
    write('.sluiceignore', '# logs\n*.log\n!keep.log\n/out/\n');
    const archive = await packCode(folder);
    expect(list(archive.file)).toEqual(['.sluiceignore', 'keep.log', 'train.py']);
    await archive.remove();
  });

  it('packs one script on its own', async () => {
    write('other.py', 'x');
    const archive = await packCode(write('train.py', 'x'));
    expect(list(archive.file)).toEqual(['train.py']);
    await archive.remove();
  });

  it('packs links inside the folder as what they point at, and refuses others', async () => {
    write('data/x.txt', 'inside');
    symlinkSync('data/x.txt', join(folder, 'link.txt'));
    symlinkSync('data', join(folder, 'more'));
    const archive = await packCode(folder);
    expect(list(archive.file)).toEqual(['data/x.txt', 'link.txt', 'more/x.txt']);
    await archive.remove();
    symlinkSync('/etc/passwd', join(folder, 'out'));
    await expect(packCode(folder)).rejects.toThrow('out is a link out of the folder, to /etc/passwd');
    write('.sluiceignore', 'out\n');
    symlinkSync('..', join(folder, 'data/up'));
    await expect(packCode(folder)).rejects.toThrow('data/up is a link to a folder that holds it');
  });

  it('refuses what is too large, naming the bound and the largest file', async () => {
    write('small.py', 'x');
    write('data/big.bin', 'x'.repeat(3000));
    await expect(packCode(folder, 2048)).rejects.toThrow(/more than the limit of 2 KiB.*data\/big\.bin with 2\.9 KiB/);
    await expect(packCode(join(folder, 'nothing'))).rejects.toThrow('there is no file or folder');
  });

  it('takes the longest paths that ustar has, and refuses longer ones', async () => {
    const long = `${'d'.repeat(77)}/${'e'.repeat(77)}/${'f'.repeat(100)}`;
    write(long, 'x');
    const archive = await packCode(folder);
    expect(list(archive.file)).toEqual([long]);
    await archive.remove();
    expect(() => tarHeader({ path: 'g'.repeat(101), bytes: 0, executable: false })).toThrow('too long to be packed');
  });
});

describe('parseIgnore', () => {
  it.each([
    ['*.pyc', 'a/b/c.pyc', true],
    ['/top.txt', 'a/top.txt', false],
    ['a/*.txt', 'a/b.txt', true],
    ['a/*.txt', 'a/b/c.txt', false],
    ['**/cache', 'x/y/cache', true],
    ['a/**', 'a/b/c', true],
    ['x?.[ab]', 'x1.b', true],
    ['x?.[!ab]', 'x1.b', false],
    ['dot.txt', 'dotxtxt', false],
    ['folder/', 'folder', false],
  ])('%s on %s: %s', (pattern, path, ignored) => {
    expect(parseIgnore(pattern)(path, false)).toBe(ignored);
  });
});
