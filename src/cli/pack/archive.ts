/** Packs code for a training job as a tar.gz whose digest depends on the content alone. */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { usageError } from '../exit.js';
import { bytes } from '../print/text.js';
import { IGNORE_FILE } from './ignore.js';
import { type TarEntry, tar } from './tar.js';
import { singleFile, walkFolder } from './walk.js';

/** Largest code folder, before compression. */
export const CODE_LIMIT_BYTES = 256 * 2 ** 20;

export interface Archive {
  /** The tar.gz on this machine, until `remove`. */
  readonly file: string;
  readonly digest: string;
  readonly bytes: number;
  readonly paths: readonly string[];
  remove(): Promise<void>;
}

/** Packs a folder or one script. Refuses what is larger than the limit, naming the largest file. */
export async function packCode(path: string, limitBytes = CODE_LIMIT_BYTES): Promise<Archive> {
  const facts = await stat(path).catch(() => undefined);
  if (!facts) throw usageError(`there is no file or folder ${path}`);
  const entries = facts.isDirectory() ? await walkFolder(path) : [await singleFile(path)];
  if (entries.length === 0) throw usageError(`the folder ${path} holds no files`);
  const total = entries.reduce((sum, entry) => sum + entry.bytes, 0);
  if (total > limitBytes) {
    const largest = entries.reduce((a, b) => (b.bytes > a.bytes ? b : a));
    throw usageError(
      `${path} holds ${bytes(total)}, more than the limit of ${bytes(limitBytes)} for code; ` +
        `its largest file is ${largest.path} with ${bytes(largest.bytes)}`,
      `leave data out with a ${IGNORE_FILE} file (and push it with \`sluice datasets push\`), or raise --code-limit`,
    );
  }
  return writeArchive(entries);
}

async function writeArchive(entries: readonly TarEntry[]): Promise<Archive> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-code-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  const file = join(folder, 'code.tar.gz');
  const hash = createHash('sha256');
  let size = 0;
  const count = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      size += chunk.length;
      done(null, chunk);
    },
  });
  try {
    await pipeline(
      Readable.from(tar(entries)),
      createGzip({ level: 6 }),
      count,
      createWriteStream(file, { mode: 0o600 }),
    );
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    file,
    digest: `sha256:${hash.digest('hex')}`,
    bytes: size,
    paths: entries.map((entry) => entry.path),
    remove,
  };
}
