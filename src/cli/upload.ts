/** Brings files to the gateway's blob store by their digest, so that nothing is sent twice. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { usageError } from './exit.js';
import { packCode } from './pack/archive.js';
import { walkFolder } from './pack/walk.js';
import { startProgress } from './print/progress.js';
import { bytes } from './print/text.js';
import type { Session } from './session.js';

export interface Uploaded {
  readonly digest: string;
  readonly bytes: number;
  /** False when the gateway had it already. */
  readonly sent: boolean;
}

/** Packs a code folder or script and brings it to the gateway. */
export async function uploadCode(session: Session, path: string, limitBytes?: number): Promise<Uploaded> {
  const archive = await packCode(path, limitBytes);
  try {
    const uploaded = await uploadBlob(
      session,
      archive.file,
      archive.digest,
      archive.bytes,
      `uploading ${basename(path)}`,
    );
    const what = `${archive.paths.length} file${archive.paths.length === 1 ? '' : 's'} of ${path}, ${bytes(archive.bytes)} packed`;
    session.note(`code: ${what}${uploaded.sent ? '' : ' (the gateway has it already)'}`);
    return uploaded;
  } finally {
    await archive.remove();
  }
}

/** Brings one file as it is. */
export async function uploadFile(session: Session, file: string): Promise<Uploaded> {
  const facts = await stat(file).catch(() => undefined);
  if (!facts?.isFile()) throw usageError(`there is no file ${file}`);
  const name = basename(file);
  const digest = await digestOf(session, file, name, facts.size);
  return uploadBlob(session, file, digest, facts.size, `uploading ${name}`);
}

/** Single files that are a model: named `model` with their ending, which is how the gateway knows them. */
const MODEL_FILE = /\.(onnx|py|joblib|pkl|pickle|json|ubj|bst)$/;

/** Brings a model: one file, which may have any name, or every file of a folder under its own path. */
export async function uploadModel(session: Session, path: string): Promise<{ path: string; digest: string }[]> {
  const facts = await stat(path).catch(() => undefined);
  if (!facts) throw usageError(`there is no file or folder ${path}`);
  if (facts.isFile()) {
    const { digest } = await uploadFile(session, path);
    const [ending] = MODEL_FILE.exec(path) ?? [];
    return [{ path: ending === undefined ? basename(path) : `model${ending}`, digest }];
  }
  const found = await walkFolder(path);
  if (found.length === 0) throw usageError(`the folder ${path} holds no files`);
  const files: { path: string; digest: string }[] = [];
  for (const one of found.sort((a, b) => (a.path < b.path ? -1 : 1))) {
    const { digest } = await uploadFile(session, one.file);
    files.push({ path: one.path, digest });
  }
  return files;
}

async function uploadBlob(
  session: Session,
  file: string,
  digest: string,
  size: number,
  label: string,
): Promise<Uploaded> {
  const path = `/api/v1/blobs/${digest}`;
  const { client, signal } = session;
  if (await client.exists(path, { signal })) return { digest, bytes: size, sent: false };
  const progress = startProgress(session.io, label, size, session.quiet || session.json);
  try {
    await client.put(path, {
      signal,
      stream: { bytes: size, open: () => counted(file, (count) => progress.add(count)) },
    });
  } finally {
    progress.done();
  }
  return { digest, bytes: size, sent: true };
}

async function digestOf(session: Session, file: string, name: string, size: number): Promise<string> {
  const hash = createHash('sha256');
  const progress = startProgress(session.io, `reading ${name}`, size, session.quiet || session.json);
  try {
    for await (const chunk of counted(file, (count) => progress.add(count))) {
      session.signal.throwIfAborted();
      hash.update(chunk);
    }
  } finally {
    progress.done();
  }
  return `sha256:${hash.digest('hex')}`;
}

async function* counted(file: string, seen: (count: number) => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of createReadStream(file, { highWaterMark: 256 * 1024 })) {
    const piece = chunk as Buffer;
    seen(piece.length);
    yield piece;
  }
}
