import type { Log } from '../log.js';
import type { Door } from './frame-door.js';
import type { ModelServer } from './server.js';

/** How long the kernel gets to take the last answers before the process is gone. */
const LINGER_MS = 20;

/** SIGTERM: finish what is in flight, then exit 0. A second one, or SIGINT: exit at once. */
export function stopWhenTold(server: ModelServer, doors: readonly Door[], drainMs: number, log: Log): void {
  let stopping = false;
  process.on('SIGTERM', () => {
    if (stopping) process.exit(143);
    stopping = true;
    void stop();
  });
  process.on('SIGINT', () => process.exit(130));
  const stop = async () => {
    log.info('draining', { drainMs });
    const drained = server.drain(drainMs);
    for (const door of doors) door.close();
    if (!(await drained)) log.warn('gave up on requests in flight', { drainMs });
    // answers are handed to their sockets in the turn that ends now
    await new Promise((resolve) => setImmediate(resolve));
    for (const door of doors) door.endConnections();
    await new Promise((resolve) => setTimeout(resolve, LINGER_MS));
    process.exit(0);
  };
}
