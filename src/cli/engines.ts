import type { Command } from 'commander';
import type { Io } from './io.js';
import { openSession, type Session } from './session.js';

interface InstallOptions {
  readonly version?: string;
  readonly python?: string;
  readonly cuda?: boolean;
}

/** `sluice engines`: works on this machine and talks to no gateway. */
export function define(command: Command, io: Io): void {
  command
    .command('install')
    .description(
      "install an engine's library on this machine, into the cache folder, out of Python packages, with pip: TensorFlow's, or " +
        "ONNX Runtime's for NVIDIA's GPUs",
    )
    .argument('<engine>', 'tensorflow or onnx')
    .option('--version <version>', 'another version than the one that this program is verified with, or comes with')
    .option('--python <path>', 'interpreter whose pip downloads it (default: SLUICE_PYTHON)')
    .option('-q, --quiet', 'print the folder and nothing else')
    .option('--cuda', "the build for NVIDIA's GPUs, several times as large")
    .action((engine: string, options: InstallOptions, self: Command) =>
      install(openSession(io, self), engine, options),
    );
  command
    .command('list')
    .description('list the engines on this machine, and which of them new model servers use')
    .option('--json', 'print JSON and nothing else')
    .action((_options: unknown, self: Command) => list(openSession(io, self)));
}

async function install(session: Session, engine: string, options: InstallOptions): Promise<void> {
  const { installOnThisMachine } = await import('../main/engines.js');
  const done = await installOnThisMachine({
    engine,
    version: options.version,
    python: options.python,
    cuda: options.cuda === true,
    onLine: (line) => session.note(line),
    signal: session.signal,
  });
  const what = done.before ? 'was installed before' : 'installed';
  session.printEssential(done.folder, `${engine} ${done.version} ${what} in ${done.folder}`);
  session.note(
    done.used
      ? engine === 'tensorflow'
        ? 'model servers use it from the next start of Sluice on; one that found no TensorFlow before, at once'
        : 'model servers use it from the next start of Sluice on'
      : 'model servers use another one: see `sluice engines list`',
  );
}

async function list(session: Session): Promise<void> {
  const { listEngines } = await import('../main/engines.js');
  const engines = await listEngines();
  if (session.json) {
    session.io.out(`${JSON.stringify({ engines })}\n`);
    return;
  }
  session.table(
    engines,
    [
      { title: 'engine', cell: (engine) => engine.engine },
      { title: 'version', cell: (engine) => engine.version ?? '-' },
      { title: 'from', cell: (engine) => FROM[engine.from] },
      { title: 'used', cell: (engine) => (engine.used ? 'yes' : 'no') },
      { title: 'problem', cell: (engine) => engine.problem ?? '-' },
      { title: 'folder', cell: (engine) => engine.folder ?? '-' },
    ],
    '',
  );
}

const FROM = {
  package: 'this package',
  setting: 'SLUICE_TENSORFLOW_DIR',
  installed: 'sluice engines install',
  python: 'Python package',
};
