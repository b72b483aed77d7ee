/** The gateway program's entry. */
import { loadConfig } from '../config.js';
import { createLog } from '../log.js';
import { runProgram, tellSupervisor } from './child.js';
import { startGateway } from './gateway.js';

const config = loadConfig();
const log = createLog(config.log, { program: 'gateway' });
runProgram(log, config.limits.drainMs + 10_000, async () => {
  const gateway = await startGateway(config, log);
  tellSupervisor({ kind: 'ready', url: gateway.url });
  return gateway;
});
