/** What `sluice up` does in a terminal: start, say where it listens, and stop in order. */
import { loadConfig } from '../config.js';
import { AppError, messageOf } from '../errors.js';
import { createLog } from '../log.js';
import { startPlatform } from './supervisor.js';

/** Resolves when the platform has stopped; the exit code tells how. */
export async function up(): Promise<number> {
  const began = performance.now();
  let config: ReturnType<typeof loadConfig>;
  try {
    config = loadConfig();
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`);
    return 2;
  }
  const log = createLog(config.log, { program: 'supervisor' });
  const asked = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      let times = 0;
      process.on(signal, () => {
        if (++times > 1) process.exit(1);
        resolve();
      });
    }
  });
  const starting = startPlatform(config, log);
  try {
    // whoever stops it before it is up does not wait for that: its children end when their channel to it closes
    const platform = await Promise.race([starting, asked]);
    if (!platform) process.exit(0);
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const lines = [`Sluice is up at ${platform.url} (${seconds} s)`, `  API reference  ${platform.url}/docs`];
    if (platform.firstStart)
      lines.push(`  admin key      ${platform.adminKey}   (shown this once; kept in ${platform.adminKeyFile})`);
    else
      lines.push(
        `  admin key      ${platform.adminKeyFile ? `in ${platform.adminKeyFile}` : 'as set by SLUICE_ADMIN_KEY'}`,
      );
    lines.push(`  data folder    ${config.dataDir}`, '');
    process.stdout.write(lines.join('\n'));
    await asked;
    await platform.stop();
    return 0;
  } catch (error) {
    process.stderr.write(`Sluice cannot start: ${error instanceof AppError ? error.message : messageOf(error)}\n`);
    return 1;
  }
}
