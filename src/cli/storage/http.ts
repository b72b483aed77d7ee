/** A model by its address: a file, or an archive that is unpacked. */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { CliError } from '../exit.js';
import type { Io } from '../io.js';
import { untar } from './untar.js';
import { unzip } from './unzip.js';

/** The path of the file, or of the folder that the archive was unpacked to. */
export async function fetchHttp(io: Io, uri: string, target: string): Promise<string> {
  const response = await fetch(uri, { signal: io.signal }).catch((error: unknown) => {
    io.signal.throwIfAborted();
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    throw new CliError(
      `cannot fetch ${uri}: ${cause instanceof Error && cause.message ? cause.message : String(cause)}`,
    );
  });
  if (!response.ok || !response.body) {
    await response.body?.cancel();
    throw new CliError(`cannot fetch ${uri}: it was answered ${response.status}`);
  }
  const name = fileName(uri);
  const file = join(target, name);
  await pipeline(Readable.fromWeb(response.body as never), createWriteStream(file), { signal: io.signal });
  const folder = join(target, 'unpacked');
  const unpack = unpackerOf(name, response.headers.get('content-type') ?? '');
  if (unpack === undefined) return file;
  await mkdir(folder);
  await unpack(file, folder, uri);
  await rm(file);
  return folder;
}

type Unpack = (file: string, folder: string, uri: string) => Promise<void>;

function unpackerOf(name: string, contentType: string): Unpack | undefined {
  const type = contentType.split(';', 1)[0]?.trim().toLowerCase();
  if (/\.zip$/i.test(name) || type === 'application/zip') return unzip;
  if (/\.(tar\.gz|tgz)$/i.test(name))
    return (file, folder, uri) => untar(createReadStream(file).pipe(createGunzip()), folder, uri);
  if (/\.tar$/i.test(name) || type === 'application/x-tar')
    return (file, folder, uri) => untar(createReadStream(file), folder, uri);
  return undefined;
}

/** The last part of the address, as the name of a file. */
function fileName(uri: string): string {
  const last = decodeURIComponent(new URL(uri).pathname.split('/').filter(Boolean).at(-1) ?? '');
  const plain = last.replace(/[^\w.-]+/g, '_').replace(/^\.+/, '');
  return plain === '' || plain === 'unpacked' ? 'model' : plain;
}
