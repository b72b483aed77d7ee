/** The pods' API as a program, for pods of a cluster: `node pods-server.mjs PORT FOLDER`. */
import { startPodsServer } from '../../support/pods-server.js';

const [, , port = '', folder = ''] = process.argv;
await startPodsServer(folder, Number(port), '0.0.0.0');
console.log('ready');
