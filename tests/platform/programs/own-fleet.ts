/** own-fleet SCRIPT MODEL: serves a model from a fleet with a spare, prints the pids of its model servers, and waits to be killed. */
import { addCall, makeFleet, revisionOf } from '../../support/fleet-bench.js';
import { predictionOf } from '../../support/predictions.js';

const [script = '', model = ''] = process.argv.slice(2);
const { fleet, spares } = makeFleet({ spares: 1, script, model });
const reply = await predictionOf(fleet, revisionOf('add.onnx'), addCall, { timeoutMs: 20_000, idempotent: true }).reply;
const serving = fleet.status().flatMap(({ replicas }) => replicas.map(({ pid }) => pid));
const other = await spares.take();
console.log(`pids ${[...serving, other.pid].join(' ')} status ${reply.status}`);
setInterval(() => {}, 1000);
