/** The thread that writes the gateway's payload log, so that nothing of it is done where predictions are. */
import { parentPort, workerData } from 'node:worker_threads';
import { createLog } from '../log.js';
import type { ThreadOptions } from '../platform/payload-log/messages.js';
import { serveThread } from '../platform/payload-log/serve-thread.js';

const options = workerData as ThreadOptions;
if (parentPort) serveThread(parentPort, options, createLog(options.log, { program: 'payload-log' }));
