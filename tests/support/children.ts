import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Child {
  readonly process: ChildProcess;
  /** Every line that it has printed. */
  readonly lines: readonly string[];
  /** The first line that matches, printed before or from now on. */
  line(pattern: RegExp, timeoutMs?: number): Promise<string>;
  /** SIGKILL, and wait until it has ended. */
  kill(): Promise<void>;
}

/** Runs a built program with node; its stderr is ours. */
export function runNode(file: string, args: readonly string[], ids: { uid?: number; gid?: number } = {}): Child {
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'inherit'], cwd: '/', ...ids });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return {
    process: child,
    lines,
    line: async (pattern, timeoutMs = 20_000) => {
      const end = Date.now() + timeoutMs;
      for (;;) {
        const found = lines.find((line) => pattern.test(line));
        if (found !== undefined) return found;
        if (Date.now() > end) throw new Error(`no line like ${pattern} in ${timeoutMs} ms, only: ${lines.join(' / ')}`);
        await sleep(5);
      }
    },
    kill: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Resolves when the check holds; throws after `timeoutMs`. */
export async function eventually(check: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  for (const end = Date.now() + timeoutMs; !(await check()); await sleep(10)) {
    if (Date.now() > end) throw new Error(`still not so after ${timeoutMs} ms`);
  }
}
