import { startEmbeddedPostgres } from '../../../src/platform/db/embedded-postgres.js';
import { quietLog } from '../../support/quiet-log.js';

// starts a Postgres in the folder of its argument, says which, and waits to be killed
const server = await startEmbeddedPostgres({ folder: process.argv[2] ?? '', log: quietLog });
console.log(`ready ${server.pid} ${server.url}`);
setInterval(() => {}, 1000);
