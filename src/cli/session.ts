/** What a running command works with: the client, and ways to say things. */
import type { Command } from 'commander';
import { type Answer, SluiceClient } from './client.js';
import type { Io } from './io.js';
import { type Styles, styles } from './print/style.js';
import { type Column, facts, table } from './print/table.js';
import { relativeTime } from './print/text.js';
import { type ClientSettings, readSettings } from './settings.js';

/** Options that every command takes. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly url?: string;
  readonly key?: string;
  readonly quiet?: boolean;
}

export interface Session {
  readonly io: Io;
  readonly client: SluiceClient;
  readonly settings: ClientSettings;
  readonly signal: AbortSignal;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly style: Styles;
  /** A result for people, on standard output. */
  print(text: string): void;
  /** A result that `--quiet` leaves as it is: what a script wants of the command, such as an id. */
  printEssential(essential: string, text: string): void;
  /** The API's own JSON, exactly, where `--json` asks for it; true when it was printed. */
  printedJson(answer: Answer<unknown>): boolean;
  /** What goes on, on standard error; nothing with `--quiet`. */
  note(text: string): void;
  table<T>(rows: readonly T[], columns: readonly Column<T>[], empty: string): void;
  facts(entries: readonly (readonly [string, string | undefined])[]): void;
  /** How long ago, for people. */
  ago(iso: string | null | undefined): string;
}

/** Opens the session that a command's options ask for. */
export function openSession(io: Io, command: Command): Session {
  const options: CommonOptions = command.optsWithGlobals();
  const settings = readSettings(options, io.env);
  const json = options.json === true;
  const quiet = options.quiet === true;
  const style = styles(io.outColour);
  const say = (text: string) => io.out(text.endsWith('\n') ? text : `${text}\n`);
  const print = (text: string) => {
    if (!quiet && !json) say(text === '' ? '\n' : text);
  };
  return {
    io,
    settings,
    client: new SluiceClient({ url: settings.url, key: settings.key }),
    signal: io.signal,
    json,
    quiet,
    style,
    print,
    printEssential: (essential, text) => say(quiet ? essential : text),
    printedJson: (answer) => {
      // an answer without a body, such as that of a deletion, prints nothing
      if (json && answer.text !== '') say(answer.text);
      return json;
    },
    note: (text) => {
      if (!quiet) io.err(`${styles(io.errColour).dim(text)}\n`);
    },
    table: (rows, columns, empty) => {
      if (rows.length > 0) say(table(rows, columns, { style, width: io.columns }));
      else if (!quiet) io.err(`${empty}\n`);
    },
    facts: (entries) => print(facts(entries, style)),
    ago: (iso) => relativeTime(iso, io.now()),
  };
}
