/** The program's entry. Answers `--version` before anything is loaded. */
import { EXIT } from './exit.js';
import { VERSION } from './version.js';

const argv = process.argv.slice(2);

if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V')) process.stdout.write(`${VERSION}\n`);
else await start();

async function start(): Promise<void> {
  // a reader that has seen enough, such as `head`, is no error
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.failed);
    });
  }
  const [{ runCli }, { processIo }, { environment }] = await Promise.all([
    import('./run.js'),
    import('./io.js'),
    import('./settings.js'),
  ]);
  const interrupt = new AbortController();
  const onSignal = () => {
    // the second time nothing is waited for
    if (interrupt.signal.aborted) process.exit(EXIT.interrupted);
    interrupt.abort();
  };
  // the supervisor stops its children in its own way
  if (!argv.includes('up')) for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal);
  const code = await runCli(argv, processIo(interrupt.signal, environment()));
  // what is still in a pipe's buffer goes out first
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code || process.exitCode || EXIT.ok)));
}
