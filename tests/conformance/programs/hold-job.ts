import type { JobHandlers } from '../../../src/core/jobs.js';
import { openQueue } from '../../../src/platform/queue/open.js';
import { jobHandlers, onlyFor } from '../../support/job-handlers.js';
import { quietLog } from '../../support/quiet-log.js';

// takes one training job, says so, and holds it until it is killed
const [databaseUrl = '', redisUrl] = process.argv.slice(2);
const queue = await openQueue({ databaseUrl, log: quietLog, ...(redisUrl ? { redisUrl } : {}) });
const hold: JobHandlers['training.run'] = ({ jobId }) => {
  console.log(`holding ${jobId}`);
  return new Promise(() => {});
};
await queue.host(jobHandlers({ 'training.run': hold }), { concurrency: onlyFor('training.run', 1) });
console.log('hosting');
