/** The command line's page of the documentation, made of the program's own help. */
import type { Command } from 'commander';
import type { Io } from './io.js';
import { COMMON_HEADING, createProgram, GROUPS } from './program.js';

const INTRO = `# The command line

Generated from \`sluice --help\` by \`npm run docs\`; do not edit.

\`sluice\` talks to the gateway over the same HTTP API that everybody has. Results go to standard output, what goes on
(progress, notes, errors) to standard error. On every command, \`--json\` prints the API's JSON and nothing else, and
\`--quiet\` prints only what a script wants, such as an id.

    sluice up                                              # in one terminal
    sluice train submit examples/digits --model digits --param model=mlp --follow
    sluice endpoints create digits --model digits --version latest
    sluice predict digits --data '[[0, 0, 5, ...]]'
    sluice rollouts start digits --version latest --wait

Files of more than one resource are for \`sluice apply\`:

\`\`\`yaml
apiVersion: sluice/v1
kind: Dataset
metadata: { name: digits-holdout }
spec: { path: ./holdout.json }
---
apiVersion: sluice/v1
kind: Endpoint
metadata: { name: digits }
spec:
  model: digits
  policy:
    gates:
      - { kind: evaluation, dataset: digits-holdout, metric: accuracy, min: 0.9, maxRegression: 0.01 }
---
apiVersion: sluice/v1
kind: Job
metadata: { name: digits }
spec: { model: digits, code: ., entrypoint: train.py, requirements: requirements.txt }
\`\`\`
`;

/** The page, as it should be in docs/cli.md. */
export async function renderCliDocs(): Promise<string> {
  const program = await createProgram(silentIo());
  const groups = GROUPS.map(({ name }) => program.commands.find((command) => command.name() === name)).filter(
    (one) => one !== undefined,
  );
  // the top help as people see it, when no group is loaded
  const top = await createProgram(silentIo(), []);
  const parts = [INTRO, help(top, 'after')];
  for (const group of groups) {
    parts.push(`## sluice ${group.name()}\n`, help(group));
    for (const leaf of leaves(group)) parts.push(`### ${pathOf(leaf)}\n`, help(leaf));
  }
  return `${parts.join('\n').trimEnd()}\n`;
}

/** A command's help as a block; the common options are listed once, at the top. */
function help(command: Command, after?: 'after'): string {
  let text = '';
  command.configureOutput({ writeOut: (part) => (text += part) });
  command.outputHelp();
  if (!after) text = text.replace(new RegExp(`\\n${COMMON_HEADING}\\n(?:  .*\\n)+`), '');
  return `\`\`\`text\n${text.trimEnd()}\n\`\`\`\n`;
}

function leaves(command: Command): Command[] {
  return command.commands.flatMap((child) => [...(child.commands.length === 0 ? [child] : []), ...leaves(child)]);
}

function pathOf(command: Command): string {
  return command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();
}

function silentIo(): Io {
  return {
    out: () => {},
    err: () => {},
    stdin: async () => Buffer.alloc(0),
    outIsTerminal: false,
    errIsTerminal: false,
    outColour: false,
    errColour: false,
    columns: undefined,
    env: {},
    now: Date.now,
    signal: new AbortController().signal,
  };
}
