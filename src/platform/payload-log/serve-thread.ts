import type { MessagePort } from 'node:worker_threads';
import { systemClock } from '../../clock.js';
import type { Log } from '../../log.js';
import { openFiles } from '../blobs/open.js';
import type { FromThread, ThreadOptions, ToThread } from './messages.js';
import { Sinks } from './sinks.js';

const TICK_MS = 100;

/** The thread's side: writes what the gateway hands over, and tells of it. */
export function serveThread(port: MessagePort, options: ThreadOptions, log: Log): void {
  const sinks = new Sinks({ files: openFiles(options.blobsUrl, options.blobs), clock: systemClock, log });
  const tell = (message: FromThread) => port.postMessage(message);
  const tellSettled = () => {
    const settled = sinks.settled();
    if (settled.length > 0) tell({ kind: 'settled', settled });
  };
  const ticking = setInterval(() => {
    sinks.tick();
    tellSettled();
  }, TICK_MS);
  port.on('message', (message: ToThread) => {
    if (message.kind === 'records') {
      sinks.take(message.groups);
      return;
    }
    void sinks.close(message.deadlineMs).then(() => {
      clearInterval(ticking);
      tellSettled();
      tell({ kind: 'stopped' });
    });
  });
}
