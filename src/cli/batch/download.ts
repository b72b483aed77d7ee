import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { CliError } from '../exit.js';
import { startProgress } from '../print/progress.js';
import { bytes } from '../print/text.js';
import type { Session } from '../session.js';
import { batchPath } from './print.js';

/** Brings a result to a file, which is there whole or not at all. */
export async function downloadResult(session: Session, id: string, file: string): Promise<void> {
  const { client, io, signal } = session;
  const download = await client.download(`${batchPath(id)}/result`, { signal });
  const temporary = `${file}.${randomUUID().slice(0, 8)}`;
  const target = await open(temporary, 'wx');
  const progress = startProgress(io, 'downloading', download.bytes ?? 0, session.quiet || session.json);
  let count = 0;
  try {
    for await (const chunk of download.chunks) {
      await target.writeFile(chunk);
      count += chunk.byteLength;
      progress.add(chunk.byteLength);
    }
    if (download.bytes !== undefined && count !== download.bytes)
      throw new CliError(`the result broke off after ${count} of ${download.bytes} bytes`);
    await target.close();
    await rename(temporary, file);
  } catch (error) {
    await target.close().catch(() => {});
    await rm(temporary, { force: true });
    throw error;
  } finally {
    progress.done();
  }
  session.note(`${file}: ${bytes(count)}`);
}
