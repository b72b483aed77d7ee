/**
 * The program of a node's cache: pods of the node ask it what they would ask a gateway, and have files that one of them
 * fetched before from this machine's disk. Who may have what, the gateway says each time. See docs/pods-api.md.
 */
import { AppError, messageOf } from '../errors.js';
import { createLog } from '../log.js';
import { readNodeCacheArgs, USAGE } from './node-cache/args.js';
import { BlobCache } from './node-cache/blob-cache.js';
import { openNodeCache } from './node-cache/server.js';

async function main(): Promise<void> {
  const { folder, maxBytes, drainMs, logLevel, ...args } = readNodeCacheArgs(process.argv.slice(2));
  const log = createLog({ level: logLevel, format: process.stderr.isTTY ? 'text' : 'json' });
  const cache = await BlobCache.over({ folder, maxBytes, log });
  const { port, drain } = await openNodeCache({ ...args, cache, log });
  let stopping = false;
  process.on('SIGINT', () => process.exit(130));
  process.on('SIGTERM', () => {
    if (stopping) process.exit(143);
    stopping = true;
    log.info('draining', { drainMs });
    void drain(drainMs).then((drained) => {
      if (!drained) log.warn('gave up on requests in flight', { drainMs });
      process.exit(0);
    });
  });
  log.info('listening', { http: port, gateways: args.podsUrl, folder, maxBytes });
}

main().catch((error: unknown) => {
  const usage = error instanceof AppError && process.argv.length <= 2 ? USAGE : '';
  process.stderr.write(`sluice node-cache: ${messageOf(error)}\n${usage}`, () => process.exit(1));
});
