/** The worker program's entry. */
import { loadConfig } from '../config.js';
import { createLog } from '../log.js';
import { runProgram, tellSupervisor } from './child.js';
import { startWorker } from './worker.js';

const config = loadConfig();
const log = createLog(config.log, { program: 'worker' });
runProgram(log, config.training.stopGraceMs + 10_000, async () => {
  const worker = await startWorker(config, log);
  tellSupervisor({ kind: 'ready' });
  return worker;
});
