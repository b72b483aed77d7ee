/** Unpacks the files of a zip archive by its directory. */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createInflateRaw } from 'node:zlib';
import { usageError } from '../exit.js';
import { pathBelow } from './safe-path.js';

const END_BYTES = 22;
const MAX_COMMENT_BYTES = 65_535;
const ENTRY_BYTES = 46;
const LOCAL_BYTES = 30;
const MAX_32 = 0xffffffff;

interface Entry {
  readonly name: string;
  readonly method: number;
  readonly packed: number;
  readonly at: number;
}

/** Files go below the folder. */
export async function unzip(file: string, folder: string, from: string): Promise<void> {
  const handle = await open(file);
  try {
    const read = async (at: number, size: number) => {
      const bytes = Buffer.alloc(size);
      const { bytesRead } = await handle.read(bytes, 0, size, at);
      if (bytesRead !== size) throw usageError(`${from} is a broken zip archive: it ends too early`);
      return bytes;
    };
    const { size } = await handle.stat();
    for (const entry of await entriesOf(read, size, from)) {
      if (entry.name.endsWith('/')) continue;
      const target = pathBelow(folder, entry.name, from);
      await mkdir(dirname(target), { recursive: true });
      const local = await read(entry.at, LOCAL_BYTES);
      const start = entry.at + LOCAL_BYTES + local.readUInt16LE(26) + local.readUInt16LE(28);
      const out = createWriteStream(target);
      if (entry.packed === 0) {
        await pipeline(async function* () {}, out);
        continue;
      }
      const packed = createReadStream(file, { start, end: start + entry.packed - 1 });
      if (entry.method === 0) await pipeline(packed, out);
      else if (entry.method === 8)
        await pipeline(packed, createInflateRaw(), out).catch((error: unknown) => {
          throw usageError(`${from} is a broken zip archive: ${entry.name}: ${String(error)}`);
        });
      else throw usageError(`${from} holds ${entry.name} packed in a way (${entry.method}) that is not known`);
    }
  } finally {
    await handle.close();
  }
}

type Read = (at: number, size: number) => Promise<Buffer>;

async function entriesOf(read: Read, size: number, from: string): Promise<Entry[]> {
  const tail = await read(
    Math.max(0, size - END_BYTES - MAX_COMMENT_BYTES),
    Math.min(size, END_BYTES + MAX_COMMENT_BYTES),
  );
  const end = tail.lastIndexOf(Buffer.from('PK\u0005\u0006', 'latin1'));
  if (end < 0 || end + END_BYTES > tail.length) throw usageError(`${from} is no zip archive, or a broken one`);
  const count = tail.readUInt16LE(end + 10);
  const start = tail.readUInt32LE(end + 16);
  if (count === 0xffff || start === MAX_32) throw usageError(`${from} is too large for a zip archive: use tar`);
  const directory = await read(start, tail.readUInt32LE(end + 12));
  const entries: Entry[] = [];
  for (let at = 0, left = count; left > 0; left--) {
    if (at + ENTRY_BYTES > directory.length) throw usageError(`${from} is a broken zip archive`);
    const nameBytes = directory.readUInt16LE(at + 28);
    const packed = directory.readUInt32LE(at + 20);
    const offset = directory.readUInt32LE(at + 42);
    if (packed === MAX_32 || offset === MAX_32) throw usageError(`${from} holds a file too large for zip: use tar`);
    const name = directory.toString('utf8', at + ENTRY_BYTES, at + ENTRY_BYTES + nameBytes);
    entries.push({ name, method: directory.readUInt16LE(at + 10), packed, at: offset });
    at += ENTRY_BYTES + nameBytes + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
  return entries;
}
