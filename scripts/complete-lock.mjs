/**
 * Completes package-lock.json after an `npm install` from a registry mirror that does not hold every platform's build of
 * a package: npm leaves those out of the lock, and `npm ci` then refuses it. Writes the entries that npm would have
 * written, without their integrity (they were not seen); an install on this platform never asks for them.
 *
 *     npm install … && node scripts/complete-lock.mjs
 */
import { readFileSync, writeFileSync } from 'node:fs';

const SYSTEMS = { windows: 'win32' };
const KNOWN_SYSTEMS = [
  'aix',
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
  'windows',
];
const PROCESSORS = { loongarch64: 'loong64', ppc64le: 'ppc64' };
const KNOWN_PROCESSORS = [
  'arm',
  'arm64',
  'ia32',
  'loong64',
  'loongarch64',
  'mips64el',
  'ppc64',
  'ppc64le',
  'riscv64',
  's390x',
  'x64',
];

const lock = JSON.parse(readFileSync('package-lock.json', 'utf8'));
const added = [];
for (const owner of Object.values(lock.packages)) {
  for (const [name, range] of Object.entries(owner.optionalDependencies ?? {})) {
    const path = `node_modules/${name}`;
    if (path in lock.packages) continue;
    const words = (name.split('/').at(-1) ?? '').split('-');
    const cpu = words.filter((word) => KNOWN_PROCESSORS.includes(word)).map((word) => PROCESSORS[word] ?? word);
    const os = words.filter((word) => KNOWN_SYSTEMS.includes(word)).map((word) => SYSTEMS[word] ?? word);
    // without a platform in its name it is no platform build, and leaving it out was npm's own choice
    if (os.length === 0) continue;
    const libc = words.some((word) => word.startsWith('musl'))
      ? ['musl']
      : words.some((word) => word.startsWith('gnu'))
        ? ['glibc']
        : [];
    lock.packages[path] = {
      version: range.replace(/^[\^~]/, ''),
      ...(cpu.length ? { cpu } : {}),
      ...(owner.dev ? { dev: true } : {}),
      ...(libc.length ? { libc } : {}),
      optional: true,
      os,
    };
    added.push(name);
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync('package-lock.json', `${JSON.stringify(lock, null, 2)}\n`);
console.log(added.length ? `added ${added.length} entries: ${added.join(', ')}` : 'nothing was missing');
