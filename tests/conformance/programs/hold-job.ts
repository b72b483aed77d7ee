import { openQueue } from '../../../src/platform/queue/open.js';
import { quietLog } from '../../support/quiet-log.js';

// takes one training job, says so, and holds it until it is killed
const [databaseUrl = '', redisUrl] = process.argv.slice(2);
const queue = await openQueue({ databaseUrl, log: quietLog, ...(redisUrl ? { redisUrl } : {}) });
const idle = async () => {};
await queue.host(
  {
    'training.run': ({ jobId }) => {
      console.log(`holding ${jobId}`);
      return new Promise(() => {});
    },
    'promotion.decide': idle,
    'rollout.advance': idle,
  },
  { concurrency: { 'training.run': 1, 'promotion.decide': 0, 'rollout.advance': 0 } },
);
console.log('hosting');
