import type { Command } from 'commander';
import type { Io } from './io.js';

/** `sluice up`: reaches the platform itself; all others but `engines` talk HTTP. */
export function define(command: Command, _io: Io): void {
  command
    .summary('start Sluice on this machine')
    .description(
      'Start Sluice on this machine: the gateway, a worker, and Postgres where no DATABASE_URL names one. ' +
        'Everything that they are told comes from the environment; see docs/config.md.',
    )
    .action(async () => {
      const { up } = await import('../main/up.js');
      process.exitCode = await up();
    });
}
