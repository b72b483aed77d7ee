/**
 * The names of the payload log's files, `[PREFIX/]payload-log/PROJECT/ENDPOINT/DATE/FIRST-LAST-RANDOM.FORMAT`: the day of
 * its first record, and the times of its first and last. So a reader of a span of time opens no file in vain.
 */
import type { BlobsSinkSettings } from './settings.js';

export type Format = BlobsSinkSettings['format'];

/** The endpoint whose files are meant. */
export interface LogPlace {
  readonly project: string;
  readonly endpoint: string;
  /** As in the settings of the endpoint's log. */
  readonly prefix: string;
}

/** A span of time, without its end; milliseconds since the epoch. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface LogFile {
  /** Times of the first and the last record. */
  readonly firstMs: number;
  readonly lastMs: number;
  readonly format: Format;
}

const DAY_MS = 86_400_000;
/** Longer spans are looked for in one list of everything. */
const MAX_FOLDERS = 62;
const NAME = /\/(\d{8}T\d{6}\.\d{3}Z)-(\d{8}T\d{6}\.\d{3}Z)-[0-9a-z]+\.(jsonl|parquet)$/;

/** The name of a file. `random` tells files of the same moment apart: letters and digits. */
export function logFileName(place: LogPlace, { firstMs, lastMs, format }: LogFile, random: string): string {
  return `${endpointFolder(place)}/${dayOf(firstMs)}/${stamp(firstMs)}-${stamp(lastMs)}-${random}.${format}`;
}

/** What a name says; undefined for a file that is none of the payload log's. */
export function readLogFileName(name: string): LogFile | undefined {
  const [, first, last, format] = NAME.exec(name) ?? [];
  if (first === undefined || last === undefined || format === undefined) return undefined;
  return { firstMs: timeOf(first), lastMs: timeOf(last), format: format as Format };
}

/** Folders in which all files with records of the span are. */
export function foldersOf(place: LogPlace, { fromMs, toMs }: Span): string[] {
  // a file that began the day before may reach into the span
  const firstDay = Math.floor(fromMs / DAY_MS) - 1;
  const lastDay = Math.floor((toMs - 1) / DAY_MS);
  if (!(lastDay - firstDay < MAX_FOLDERS)) return [endpointFolder(place)];
  const folders: string[] = [];
  for (let day = firstDay; day <= lastDay; day++) folders.push(`${endpointFolder(place)}/${dayOf(day * DAY_MS)}`);
  return folders;
}

/** Whether a file may hold records of the span. */
export function overlaps(file: LogFile, span: Span): boolean {
  return file.firstMs < span.toMs && file.lastMs >= span.fromMs;
}

function endpointFolder({ prefix, project, endpoint }: LogPlace): string {
  const folder = `payload-log/${encodeURIComponent(project)}/${encodeURIComponent(endpoint)}`;
  return prefix === '' ? folder : `${prefix}/${folder}`;
}

/** UTC. */
function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

function stamp(ms: number): string {
  return new Date(ms).toISOString().replace(/[-:]/g, '');
}

function timeOf(text: string): number {
  return Date.parse(text.replace(/^(\d{4})(\d\d)(\d\dT\d\d)(\d\d)(.*)$/, '$1-$2-$3:$4:$5'));
}
