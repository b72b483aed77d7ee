/** The tree of commands. A group's file is loaded only when that group is used, so that the program starts at once. */
import { Command, Option } from 'commander';
import { EXIT_MEANINGS } from './exit.js';
import type { Io } from './io.js';
import { CLIENT_SETTINGS } from './settings.js';
import { VERSION } from './version.js';

/** Gives a command its arguments, options, subcommands and action. */
export type Define = (command: Command, io: Io) => void;

interface Group {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<{ readonly define: Define }>;
}

/** In the order of use. */
export const GROUPS: readonly Group[] = [
  { name: 'up', summary: 'start Sluice on this machine', load: () => import('./up.js') },
  { name: 'status', summary: 'show whether it runs, and what', load: () => import('./status.js') },
  { name: 'apply', summary: 'make what YAML files describe', load: () => import('./apply.js') },
  { name: 'train', summary: 'submit and follow training jobs', load: () => import('./train.js') },
  { name: 'models', summary: 'push model versions, move aliases', load: () => import('./models.js') },
  { name: 'datasets', summary: 'push data for gates and jobs', load: () => import('./datasets.js') },
  { name: 'endpoints', summary: 'create and look at endpoints', load: () => import('./endpoints.js') },
  { name: 'traffic', summary: 'show and set which revisions answer', load: () => import('./traffic.js') },
  { name: 'shadow', summary: 'compare shadow revisions', load: () => import('./shadow.js') },
  { name: 'rollouts', summary: 'take a version live step by step', load: () => import('./rollouts.js') },
  { name: 'promotions', summary: 'approve what is to go live', load: () => import('./promotions.js') },
  { name: 'predict', summary: 'send a prediction', load: () => import('./predict.js') },
  { name: 'feedback', summary: 'report what came of predictions', load: () => import('./feedback.js') },
  { name: 'batch', summary: 'predict every row of a file', load: () => import('./batch.js') },
  { name: 'webhooks', summary: 'have events posted to an address', load: () => import('./webhooks.js') },
  { name: 'keys', summary: 'create and revoke API keys', load: () => import('./keys.js') },
  { name: 'engines', summary: 'install what models run on', load: () => import('./engines.js') },
];

/** Groups that work on this machine and ask nothing over HTTP. */
const LOCAL: ReadonlySet<string> = new Set(['up', 'engines']);

/** The program with the named groups loaded; undefined loads all of them. */
export async function createProgram(io: Io, wanted?: readonly string[]): Promise<Command> {
  const program = new Command('sluice')
    .description('A serverless inference and training gateway: from a training script to a model in production.')
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.out(text),
      writeErr: (text) => io.err(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'sluice: ')),
      getOutHelpWidth: () => io.columns ?? 100,
      getErrHelpWidth: () => io.columns ?? 100,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .addHelpText('after', afterHelp());
  addCommonOptions(program);
  for (const group of GROUPS) {
    const command = program.command(group.name).description(group.summary);
    if (wanted && !wanted.includes(group.name)) continue;
    (await group.load()).define(command, io);
    if (!LOCAL.has(group.name)) forEachLeaf(command, addCommonOptions);
  }
  return program;
}

/** Heading under which help lists the options that every command takes. */
export const COMMON_HEADING = 'Common options:';

function addCommonOptions(command: Command): void {
  const add = (flags: string, text: string) => command.addOption(new Option(flags, text).helpGroup(COMMON_HEADING));
  add('--json', "print the API's JSON and nothing else");
  add('--url <url>', 'where the gateway is');
  add('--key <key>', 'API key');
  add('-q, --quiet', 'print only what was asked for, such as an id');
}

function forEachLeaf(command: Command, visit: (leaf: Command) => void): void {
  if (command.commands.length === 0) visit(command);
  for (const child of command.commands) forEachLeaf(child, visit);
}

function afterHelp(): string {
  const rows = (entries: readonly (readonly [string, string])[]) =>
    entries.map(([name, meaning]) => `  ${name.padEnd(16)} ${meaning}`).join('\n');
  const codes = EXIT_MEANINGS.map(([code, meaning]) => [String(code), meaning] as const);
  return `\nEnvironment:\n${rows(CLIENT_SETTINGS)}\n\nExit codes:\n${rows(codes)}`;
}
