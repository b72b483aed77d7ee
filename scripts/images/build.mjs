/**
 * Builds Sluice's container images as OCI archives, without Docker and without a base image: from this machine's own Node,
 * Python and shared libraries. The same machine and sources give the same digests.
 *
 *     npm run images -- [--out DIR] [--name PREFIX] [--tag TAG] [--python PROGRAM] [--with requirements.txt] [only…]
 *
 * `--name`: what names begin with, such as registry.example.com/team (default dev.local). `--with`: Python packages for the
 * image of jobs. `only`: names of images, such as sluice-runtime; without any, all that this machine can build.
 * deploy/images has Dockerfiles for the same layout.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import * as contents from './layers.mjs';
import { packLayer, writeImage } from './oci-archive.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const { values, positionals: only } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: 'string', default: join(root, 'dist/images') },
    name: { type: 'string', default: 'dev.local' },
    tag: { type: 'string', default: version },
    python: { type: 'string', default: 'python3' },
    with: { type: 'string' },
  },
});

/** Of every program of ours: nothing is written outside of /tmp and mounted folders. */
const OURS = {
  HOME: '/tmp',
  NODE_ENV: 'production',
  SSL_CERT_FILE: '/etc/ssl/certs/ca-certificates.crt',
  LANG: 'C.UTF-8',
  PYTHONUNBUFFERED: '1',
  PYTHONDONTWRITEBYTECODE: '1',
};

/** A layer is made once, whichever images have it. */
const LAYERS = {
  base: contents.base,
  node: contents.node,
  python: () => contents.python(values.python),
  packages: () => contents.pythonPackages(values.python, resolve(values.with ?? '')),
  sluice: () => contents.programs(contents.PROGRAMS.sluice),
  runtime: () => contents.programs(contents.PROGRAMS.runtime),
  postgres: contents.postgres,
  redis: contents.redis,
  s3: contents.s3,
};

/** @type {Record<string, { layers: string[], entrypoint?: string[], cmd?: string[], env?: Record<string, string> }>} */
const IMAGES = {
  sluice: {
    layers: ['base', 'node', 'python', 'sluice'],
    entrypoint: ['node'],
    cmd: ['/app/dist/gateway.js'],
    env: { ...OURS, SLUICE_HOST: '0.0.0.0', SLUICE_DATA_DIR: '/tmp/sluice', SLUICE_CACHE_DIR: '/tmp/cache' },
  },
  'sluice-runtime': {
    layers: ['base', 'node', 'python', 'runtime'],
    entrypoint: ['node'],
    cmd: ['/app/dist/pod.js'],
    env: OURS,
  },
  'sluice-job': {
    layers: ['base', 'python', ...(values.with === undefined ? [] : ['packages'])],
    cmd: ['python3'],
    env: OURS,
  },
  'sluice-postgres': { layers: ['base', 'postgres'], entrypoint: ['/bin/sh', '/app/postgres.sh'] },
  'sluice-redis': { layers: ['base', 'redis'], entrypoint: ['/bin/sh', '/app/redis.sh'] },
  'sluice-s3': { layers: ['base', 's3'], entrypoint: ['/bin/sh', '/app/s3.sh'] },
};

const unknown = only.filter((name) => !(name in IMAGES));
if (unknown.length > 0) {
  console.error(`there is no image ${unknown.join(', ')}: the images are ${Object.keys(IMAGES).join(', ')}`);
  process.exit(2);
}
if (process.platform !== 'linux') {
  console.error(
    'images are built from the programs of a Linux machine; elsewhere use the Dockerfiles in deploy/images',
  );
  process.exit(2);
}
execFileSync(process.execPath, [join(root, 'scripts/build.mjs'), '--quiet'], { stdio: 'inherit' });
mkdirSync(values.out, { recursive: true });
const work = mkdtempSync(join(tmpdir(), 'sluice-images-'));
process.once('exit', () => rmSync(work, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

const layers = new Map();
let failed = false;
for (const [name, image] of Object.entries(IMAGES)) {
  if (only.length > 0 && !only.includes(name)) continue;
  try {
    const tars = image.layers.map(layer);
    const tag = `${values.name.replace(/\/$/, '')}/${name}:${values.tag}`;
    const out = join(values.out, `${name}.tar`);
    const { entrypoint, cmd, env } = image;
    await writeImage({ out, name: tag, layers: tars, workingDir: '/app', entrypoint, cmd, env });
    const parts = image.layers.map((each, at) => `${each} ${mib(tars[at])}`).join(', ');
    console.log(`${tag}  ${mib(out)} MiB (${parts})\n  ${out}\n  ${digestOf(out)}`);
  } catch (error) {
    // what this machine lacks for one image is no reason to be without the others
    console.error(`${name}: ${error instanceof Error ? error.message : error}`);
    failed = true;
  }
}
process.exitCode = failed ? 1 : 0;

function layer(name) {
  const made = layers.get(name) ?? pack(name);
  layers.set(name, made);
  return made;
}

function pack(name) {
  const folder = LAYERS[name]();
  try {
    return packLayer(folder.path, join(work, `${name}.tar`));
  } finally {
    rmSync(folder.path, { recursive: true, force: true });
  }
}

function mib(file) {
  return Math.ceil(statSync(file).size / 2 ** 20);
}

/** The digest by which a registry or containerd knows the image. */
function digestOf(archive) {
  const index = execFileSync('tar', ['-xOf', archive, './index.json'], { encoding: 'utf8' });
  const { digest } = JSON.parse(index).manifests[0];
  return digest ?? createHash('sha256').update(index).digest('hex');
}
