/** A writer of POSIX ustar archives in which nothing but names, modes and contents leaves a trace. */
import { usageError } from '../exit.js';

const BLOCK = 512;
const NAME_BYTES = 100;
const PREFIX_BYTES = 155;
const MAX_FILE_BYTES = 8 * 2 ** 30 - 1;

export interface TarEntry {
  /** Relative, with forward slashes. */
  readonly path: string;
  readonly bytes: number;
  readonly executable: boolean;
  open(): AsyncIterable<Uint8Array>;
}

/** The archive's bytes, entries sorted by path; owner 0 and the epoch as time, so the same content is the same archive. */
export async function* tar(entries: readonly TarEntry[]): AsyncGenerator<Uint8Array> {
  for (const entry of [...entries].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    yield tarHeader(entry);
    let seen = 0;
    for await (const chunk of entry.open()) {
      seen += chunk.length;
      if (seen > entry.bytes) break;
      yield chunk;
    }
    if (seen !== entry.bytes) throw usageError(`${entry.path} changed while it was read; try again`);
    if (seen % BLOCK) yield Buffer.alloc(BLOCK - (seen % BLOCK));
  }
  yield Buffer.alloc(2 * BLOCK);
}

/** One header block. */
export function tarHeader(entry: Omit<TarEntry, 'open'>): Buffer {
  if (entry.bytes > MAX_FILE_BYTES) throw usageError(`${entry.path} is larger than the 8 GiB that an archive takes`);
  const header = Buffer.alloc(BLOCK);
  const [prefix, name] = splitPath(entry.path);
  header.write(name, 0);
  header.write(octal(entry.executable ? 0o755 : 0o644, 8), 100);
  header.write(octal(0, 8), 108);
  header.write(octal(0, 8), 116);
  header.write(octal(entry.bytes, 12), 124);
  header.write(octal(0, 12), 136);
  header.write(' '.repeat(8), 148);
  header.write('0', 156);
  header.write('ustar\u000000', 257);
  header.write(octal(0, 8), 329);
  header.write(octal(0, 8), 337);
  header.write(prefix, 345);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\u0000 `, 148);
  return header;
}

/** A ustar path is a name of 100 bytes and, before a slash, a prefix of 155. */
function splitPath(path: string): [prefix: string, name: string] {
  if (Buffer.byteLength(path) <= NAME_BYTES) return ['', path];
  for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
    const prefix = path.slice(0, slash);
    const name = path.slice(slash + 1);
    if (Buffer.byteLength(prefix) > PREFIX_BYTES) break;
    if (name !== '' && Buffer.byteLength(name) <= NAME_BYTES) return [prefix, name];
  }
  const bounds = `${NAME_BYTES} bytes of name after ${PREFIX_BYTES} of folders`;
  throw usageError(`the path ${path} is too long to be packed: an archive takes ${bounds}`);
}

function octal(value: number, width: number): string {
  return `${value.toString(8).padStart(width - 1, '0')}\0`;
}
