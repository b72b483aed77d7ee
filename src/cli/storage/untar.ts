/** Unpacks the files of a tar archive: ustar, with GNU's and POSIX's long names. */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { finished } from 'node:stream/promises';
import { usageError } from '../exit.js';
import { pathBelow } from './safe-path.js';

const BLOCK = 512;
/** Largest header of long names that is read. */
const MAX_NAMES_BYTES = 2 ** 20;

/** Files go below the folder; links and devices are left out. */
export async function untar(archive: AsyncIterable<Uint8Array>, folder: string, from: string): Promise<void> {
  const bytes = new Reader(archive, from);
  let longName: string | undefined;
  for (;;) {
    const header = await bytes.take(BLOCK, true);
    if (header === undefined || header.every((byte) => byte === 0)) return;
    checkSum(header, from);
    const size = numberOf(header.subarray(124, 136), from);
    const type = String.fromCharCode(header[156] ?? 0);
    const padding = (BLOCK - (size % BLOCK)) % BLOCK;
    if (type === 'L' || type === 'x') {
      if (size > MAX_NAMES_BYTES) throw usageError(`${from} is a broken archive: a name of ${size} bytes`);
      const text = ((await bytes.take(size)) ?? Buffer.alloc(0)).toString('utf8');
      longName = type === 'L' ? text.replace(/\0.*$/s, '') : (paxPath(text) ?? longName);
    } else {
      const path = longName ?? nameOf(header);
      longName = undefined;
      if (type === '0' || type === '\0' || type === '7') {
        const file = pathBelow(folder, path, from);
        await mkdir(dirname(file), { recursive: true });
        await bytes.copy(size, file);
      } else await bytes.skip(size);
    }
    await bytes.skip(padding);
  }
}

/** Pieces of a stream, of the sizes that are asked for. */
class Reader {
  private readonly chunks: AsyncIterator<Uint8Array>;
  private rest: Buffer = Buffer.alloc(0);

  constructor(
    archive: AsyncIterable<Uint8Array>,
    private readonly from: string,
  ) {
    this.chunks = archive[Symbol.asyncIterator]();
  }

  /** At most so many bytes; undefined at the end. */
  private async some(most: number): Promise<Buffer | undefined> {
    while (this.rest.length === 0) {
      const next = await this.chunks.next().catch((error: unknown) => {
        throw usageError(`${this.from} is a broken archive: ${error instanceof Error ? error.message : String(error)}`);
      });
      if (next.done) return undefined;
      this.rest = Buffer.from(next.value);
    }
    const piece = this.rest.subarray(0, most);
    this.rest = this.rest.subarray(piece.length);
    return piece;
  }

  private async *pieces(size: number): AsyncGenerator<Buffer> {
    for (let left = size; left > 0; ) {
      const piece = await this.some(left);
      if (!piece) throw usageError(`${this.from} is a broken archive: it ends too early`);
      left -= piece.length;
      yield piece;
    }
  }

  /** Exactly so many bytes; where the end may be here, undefined for it. */
  async take(size: number, mayEnd = false): Promise<Buffer | undefined> {
    const first = mayEnd ? await this.some(size) : Buffer.alloc(0);
    if (!first) return undefined;
    const pieces = [first];
    for await (const piece of this.pieces(size - first.length)) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  async skip(size: number): Promise<void> {
    for await (const _piece of this.pieces(size));
  }

  async copy(size: number, file: string): Promise<void> {
    const out = createWriteStream(file);
    try {
      for await (const piece of this.pieces(size)) if (!out.write(piece)) await once(out, 'drain');
    } finally {
      out.end();
      await finished(out);
    }
  }
}

function checkSum(header: Buffer, from: string): void {
  const said = numberOf(header.subarray(148, 156), from);
  const sum = header.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0);
  if (sum !== said) throw usageError(`${from} is no tar archive, or a broken one`);
}

function numberOf(field: Buffer, from: string): number {
  // sizes above 8 GiB are binary, which the first bit says
  if ((field[0] ?? 0) & 0x80) return Number(field.readBigUInt64BE(field.length - 8));
  const value = Number.parseInt(textOf(field).trim() || '0', 8);
  if (Number.isNaN(value)) throw usageError(`${from} is no tar archive, or a broken one`);
  return value;
}

function nameOf(header: Buffer): string {
  const name = textOf(header.subarray(0, 100));
  const prefix = header.toString('latin1', 257, 262) === 'ustar' ? textOf(header.subarray(345, 500)) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

function textOf(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? field.length : end);
}

/** The path among a POSIX header's records, each of which begins with its own length. */
function paxPath(text: string): string | undefined {
  return /^\d+ path=(.*)$/m.exec(text)?.[1];
}
