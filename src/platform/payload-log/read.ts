import type { Files } from '../../core/files.js';
import { type Format, foldersOf, overlaps, readLogFileName } from '../../core/payload-log/files.js';
import type { PayloadQuery, PayloadReader } from '../../core/payload-log/reader.js';
import { FORMATS } from './formats.js';

/** Reads the payload log from the files of a blob store. */
export function createPayloadReader(files: Files): PayloadReader {
  return {
    async *records(query) {
      for (const { name, format } of await filesOf(files, query)) {
        for (const record of await FORMATS[format].decode(await files.read(name))) {
          const wanted = query.kind === undefined || record.kind === query.kind;
          if (wanted && record.timeMs >= query.fromMs && record.timeMs < query.toMs) yield record;
        }
      }
    },
  };
}

interface Found {
  readonly name: string;
  readonly format: Format;
  readonly firstMs: number;
}

async function filesOf(files: Files, query: PayloadQuery): Promise<Found[]> {
  const found: Found[] = [];
  for (const folder of foldersOf(query, query)) {
    for (const { name } of await files.list(folder)) {
      const file = readLogFileName(name);
      if (file && overlaps(file, query)) found.push({ name, format: file.format, firstMs: file.firstMs });
    }
  }
  return found.sort((a, b) => a.firstMs - b.firstMs);
}
