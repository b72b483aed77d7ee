import type { Readable } from 'node:stream';
import type { Clock } from '../../clock.js';
import { parseMetrics } from '../../core/training/metrics.js';
import type { AttemptSink } from '../../core/training/runner.js';
import { LineSplitter } from '../lines.js';

/** A stream that says nothing for so long after the script's end, in milliseconds, is held by nobody we can find. */
const ORPHANED_MS = 2_000;

/** The output of one attempt on its way to the sink. */
export interface Output {
  /** Reads a stream to its end; rejects when the sink does. The next chunk is read when the sink took the last one. */
  read(name: 'stdout' | 'stderr', stream: Readable | null): Promise<void>;
  /** Takes lines that came split already, after what was read before them. */
  lines(name: 'stdout' | 'stderr', texts: readonly string[]): Promise<void>;
  /** Says a line of ours, after what was read before it. Not counted against the bound. */
  say(text: string): Promise<void>;
  /** The script has ended: closes streams that stay open without a word. Resolves when `reading` settles. */
  finish(reading: Promise<unknown>, streams: readonly (Readable | null)[]): Promise<void>;
  /** The last line of stderr that says something, at most 300 characters; empty without one. */
  lastError(): string;
}

/** Hands lines and metrics to the sink in order. After `maxBytes` of lines only metrics go on, and one line says so. */
export function createOutput(sink: AttemptSink, maxBytes: number, clock: Clock): Output {
  let left = maxBytes;
  let lastError = '';
  let turn: Promise<void> = Promise.resolve();
  let handling = 0;
  let heardAt = clock.now();

  // one at a time, whichever stream it comes from
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const mine = turn.then(work);
    turn = mine.catch(() => {});
    return mine;
  };

  const line = async (name: 'stdout' | 'stderr', text: string) => {
    if (name === 'stderr' && text.trim() !== '') lastError = text.trim();
    if (left > 0) {
      left -= Buffer.byteLength(text) + 1;
      await sink.log(name, text);
      if (left <= 0)
        await sink.log('system', `the log is full (${maxBytes} bytes): further lines are dropped, metrics are kept`);
    }
    for (const metric of parseMetrics(text)) await sink.metric(metric);
  };

  const lines = async (name: 'stdout' | 'stderr', texts: readonly string[]) => {
    if (texts.length === 0) return;
    await inTurn(async () => {
      for (const text of texts) await line(name, text);
    });
  };

  return {
    read: async (name, stream) => {
      const splitter = new LineSplitter();
      for await (const chunk of chunksOf(stream)) {
        handling += 1;
        try {
          await lines(name, splitter.push(chunk));
        } finally {
          handling -= 1;
          heardAt = clock.now();
        }
      }
      await lines(name, splitter.flush());
    },
    lines,
    say: (text) => inTurn(() => sink.log('system', text)),
    finish: async (reading, streams) => {
      const done = new AbortController();
      const settled = reading.then(
        () => done.abort(),
        () => done.abort(),
      );
      heardAt = clock.now();
      while (!done.signal.aborted) {
        await clock.sleep(100, done.signal).catch(() => {});
        if (handling === 0 && clock.now() - heardAt > ORPHANED_MS) for (const stream of streams) stream?.destroy();
      }
      await settled;
    },
    lastError: () => (lastError.length > 300 ? `${lastError.slice(0, 300)}…` : lastError),
  };
}

/** The chunks of a stream; one that is destroyed under our hands has ended. */
async function* chunksOf(stream: Readable | null): AsyncGenerator<Buffer> {
  if (!stream) return;
  try {
    for await (const chunk of stream) yield chunk;
  } catch (error) {
    if (!stream.destroyed) throw error;
  }
}
