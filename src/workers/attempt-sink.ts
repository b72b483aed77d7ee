import type { Db } from '../core/schema.js';
import { type AttemptKey, setPhase } from '../core/training/attempts.js';
import { appendLogs, appendMetrics } from '../core/training/output-store.js';
import type { AttemptSink, LogStream } from '../core/training/runner.js';
import { patiently } from './patiently.js';

const FLUSH_MS = 250;
const MAX_LINES = 500;

/**
 * Writes an attempt's lines and metrics to Postgres in batches: a quarter of a second late at most, a few statements a
 * second at most. When the database is slow or away the sink is slow, and with it the reading of the script's output.
 */
export function createAttemptSink(db: Db, key: AttemptKey): AttemptSink & { close(): Promise<void> } {
  let lines: { stream: LogStream; text: string; at: Date }[] = [];
  let metrics: { name: string; value: number; step: number | null; at: Date }[] = [];
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();

  const write = async (): Promise<void> => {
    const nextLines = lines;
    const nextMetrics = metrics;
    lines = [];
    metrics = [];
    await patiently(() => appendLogs(db, key, nextLines));
    await patiently(() => appendMetrics(db, key, nextMetrics));
  };
  const flush = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    writing = writing.then(write);
    return writing;
  };
  const later = async (): Promise<void> => {
    if (lines.length + metrics.length >= MAX_LINES) return flush();
    timer ??= setTimeout(() => void flush().catch(() => {}), FLUSH_MS);
  };

  return {
    async phase(phase, detail) {
      await patiently(() => setPhase(db, key, detail ? `${phase}: ${detail}` : phase));
    },
    log(stream, text) {
      lines.push({ stream, text, at: new Date() });
      return later();
    },
    metric(metric) {
      metrics.push({ ...metric, at: new Date() });
      return later();
    },
    close: flush,
  };
}
