import type { Format } from '../../core/payload-log/files.js';
import type { FileFormat } from './format.js';
import { jsonLines } from './json-lines.js';
import { parquet } from './parquet.js';

/** The formats of files by their extension. */
export const FORMATS: Readonly<Record<Format, FileFormat>> = { jsonl: jsonLines, parquet };
