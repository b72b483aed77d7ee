/** Runs the command line inside the test's process, with a terminal that is none. */
import { runCli } from '../../src/cli/run.js';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly stdin?: string;
  readonly signal?: AbortSignal;
}

/** One command line, its words split at spaces unless they are given as a list. */
export async function cli(words: string | readonly string[], options: RunOptions = {}): Promise<Ran> {
  let out = '';
  let err = '';
  const argv = typeof words === 'string' ? words.split(' ') : words;
  const code = await runCli(argv, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    stdin: async () => Buffer.from(options.stdin ?? ''),
    outIsTerminal: false,
    errIsTerminal: false,
    outColour: false,
    errColour: false,
    columns: undefined,
    env: options.env ?? {},
    now: Date.now,
    signal: options.signal ?? new AbortController().signal,
  });
  return { code, out, err };
}
