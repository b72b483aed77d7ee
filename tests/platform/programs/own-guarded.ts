import { spawnGuarded } from '../../../src/platform/guard.js';

// runs its arguments under the guard, says the pid, and waits to be killed
const [stopSignal, command, ...args] = process.argv.slice(2);
const child = spawnGuarded(command ?? '', args, {
  stopSignal: stopSignal === 'SIGINT' ? 'SIGINT' : 'SIGTERM',
  graceMs: 1000,
  cwd: '/',
  env: { PATH: '/usr/bin:/bin' },
  stdio: ['inherit', 'inherit'],
});
console.log(`pid ${child.pid}`);
setInterval(() => {}, 1000);
