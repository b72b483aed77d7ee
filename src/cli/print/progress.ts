import type { Io } from '../io.js';
import { bytes } from './text.js';

/** A bar on a terminal's standard error for work that takes a while; silent anywhere else. */
export interface Progress {
  /** More of it is done. */
  add(count: number): void;
  /** Takes the bar off the screen. */
  done(): void;
}

const SILENT: Progress = { add: () => {}, done: () => {} };
const WIDTH = 24;

export function startProgress(io: Io, label: string, total: number, quiet: boolean): Progress {
  if (!io.errIsTerminal || quiet) return SILENT;
  const started = io.now();
  let current = 0;
  let paintedAt = started;
  let painted = false;
  return {
    add(count) {
      current += count;
      const now = io.now();
      // short work never shows a bar
      if (now - paintedAt < (painted ? 100 : 300)) return;
      paintedAt = now;
      painted = true;
      io.err(`\r${bar(label, current, total, now - started)}\u001b[K`);
    },
    done() {
      if (painted) io.err('\r\u001b[K');
    },
  };
}

/** The bar's text: `uploading x [=====>   ]  45 %  12 MiB of 27 MiB  8 MiB/s`. */
export function bar(label: string, current: number, total: number, elapsedMs: number): string {
  const share = total > 0 ? Math.min(1, current / total) : 1;
  const filled = Math.round(share * WIDTH);
  const picture = filled < WIDTH ? `${'='.repeat(filled)}>`.padEnd(WIDTH + 1) : '='.repeat(WIDTH + 1);
  const speed = elapsedMs > 0 ? `  ${bytes((current / elapsedMs) * 1000)}/s` : '';
  const percent = String(Math.floor(share * 100)).padStart(3);
  return `${label} [${picture}] ${percent} %  ${bytes(current)} of ${bytes(total)}${speed}`;
}
