/** The gateway program's entry. */
import cluster from 'node:cluster';
import { loadConfig } from '../config.js';
import { createLog } from '../log.js';
import { runProgram, tellSupervisor } from './child.js';
import { startDoor } from './door.js';
import { startGateway } from './gateway.js';
import { startLead } from './lead.js';

const config = loadConfig();
const log = createLog(config.log, { program: 'gateway' });
const start = cluster.isWorker ? startDoor : config.gatewayProcesses > 1 ? startLead : startGateway;
runProgram(log, config.limits.drainMs + 10_000, async () => {
  const gateway = await start(config, log);
  tellSupervisor({ kind: 'ready', url: gateway.url });
  return gateway;
});
