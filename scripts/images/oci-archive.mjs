/**
 * Writes OCI images as archives that containerd, podman and Docker load, without any of them: layers are tar files made by
 * the system's tar with fixed times and owners, so the same files give the same image.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, createReadStream, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const FIXED = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '--format=gnu'];

/** Packs a folder as a layer: its content becomes the image's root. Answers the path of the tar file. */
export function packLayer(folder, out) {
  mkdirSync(dirname(out), { recursive: true });
  execFileSync('tar', [...FIXED, '-cf', out, '-C', folder, '.'], { stdio: ['ignore', 'inherit', 'inherit'] });
  return out;
}

/**
 * @param {{ out: string, name: string, layers: readonly string[], user?: string, entrypoint?: readonly string[],
 *   cmd?: readonly string[], env?: Readonly<Record<string, string>>, workingDir?: string }} image
 *   `layers`: tar files, the lowest first. `name`: with its tag.
 */
export async function writeImage({
  out,
  name,
  layers,
  user = '65532:65532',
  entrypoint,
  cmd,
  env = {},
  workingDir = '/',
}) {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-image-'));
  try {
    const blobs = join(folder, 'blobs', 'sha256');
    mkdirSync(blobs, { recursive: true });
    const put = (text) => {
      const hex = createHash('sha256').update(text).digest('hex');
      writeFileSync(join(blobs, hex), text);
      return { digest: `sha256:${hex}`, size: Buffer.byteLength(text) };
    };
    const packed = [];
    for (const layer of layers) {
      const hex = await sha256(layer);
      copyFileSync(layer, join(blobs, hex));
      packed.push({ digest: `sha256:${hex}`, size: statSync(layer).size });
    }
    const config = put(
      JSON.stringify({
        architecture: process.arch === 'x64' ? 'amd64' : process.arch,
        os: 'linux',
        config: {
          User: user,
          ...(entrypoint ? { Entrypoint: entrypoint } : {}),
          ...(cmd ? { Cmd: cmd } : {}),
          Env: Object.entries({ PATH: '/usr/local/bin:/usr/bin:/bin', ...env }).map(
            ([key, value]) => `${key}=${value}`,
          ),
          WorkingDir: workingDir,
        },
        rootfs: { type: 'layers', diff_ids: packed.map(({ digest }) => digest) },
      }),
    );
    const manifest = put(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
        layers: packed.map((layer) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...layer })),
      }),
    );
    const annotations = { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': name };
    writeFileSync(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
    writeFileSync(
      join(folder, 'index.json'),
      JSON.stringify({
        schemaVersion: 2,
        manifests: [{ mediaType: 'application/vnd.oci.image.manifest.v1+json', ...manifest, annotations }],
      }),
    );
    packLayer(folder, out);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function sha256(path) {
  return new Promise((resolve, reject) => {
    const hash = createHash('sha256');
    createReadStream(path)
      .on('data', (chunk) => hash.update(chunk))
      .on('end', () => resolve(hash.digest('hex')))
      .on('error', reject);
  });
}
