import { wantsColour } from './settings.js';

/** What the commands see of the terminal and the world; the tests give them another. */
export interface Io {
  out(text: string): void;
  err(text: string): void;
  /** All of standard input. */
  stdin(): Promise<Buffer>;
  readonly outIsTerminal: boolean;
  readonly errIsTerminal: boolean;
  readonly outColour: boolean;
  readonly errColour: boolean;
  /** Columns of the terminal; undefined when it is none. */
  readonly columns: number | undefined;
  readonly env: NodeJS.ProcessEnv;
  now(): number;
  readonly signal: AbortSignal;
}

/** The real one. */
export function processIo(signal: AbortSignal, env: NodeJS.ProcessEnv): Io {
  const { stdout, stderr } = process;
  return {
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    stdin: async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk as Uint8Array));
      return Buffer.concat(chunks);
    },
    outIsTerminal: stdout.isTTY === true,
    errIsTerminal: stderr.isTTY === true,
    outColour: wantsColour(stdout.isTTY === true, env),
    errColour: wantsColour(stderr.isTTY === true, env),
    columns: stdout.isTTY ? stdout.columns : undefined,
    env,
    now: Date.now,
    signal,
  };
}
