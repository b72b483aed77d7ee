/** npm run verify: the long checks. Without a name it lists them; with one it runs that one and prints its figures. */

import { batch } from './batch/verify.js';
import { clients } from './clients/verify.js';
import { cluster } from './cluster/verify.js';
import { demo } from './demo/verify.js';
import { engines } from './engines/verify.js';
import { faults } from './faults/verify.js';
import { fuzz } from './fuzz/verify.js';
import { h2spec } from './h2spec/verify.js';
import { kpa } from './kpa/verify.js';
import { magika } from './magika/verify.js';
import { onnxSuite } from './onnx-suite/verify.js';
import { propagation } from './propagation/verify.js';
import { rolloutModel } from './rollout-model/verify.js';
import { rolloutSimulation } from './rollout-simulation/verify.js';
import { splits } from './splits/verify.js';
import type { Verification } from './verification.js';

const VERIFICATIONS: readonly Verification[] = [
  batch,
  clients,
  cluster,
  demo,
  engines,
  faults,
  fuzz,
  h2spec,
  kpa,
  magika,
  onnxSuite,
  propagation,
  rolloutModel,
  rolloutSimulation,
  splits,
];

async function main([name, ...args]: string[]): Promise<number> {
  if (name === undefined || name === '--help') {
    const width = Math.max(...VERIFICATIONS.map((verification) => verification.name.length));
    for (const verification of VERIFICATIONS)
      console.log(`${verification.name.padEnd(width)}  ${verification.summary}`);
    console.log('\nrun one with: npm run verify -- NAME');
    return 0;
  }
  const verification = VERIFICATIONS.find((candidate) => candidate.name === name);
  if (!verification) {
    console.error(
      `there is no verification "${name}"; there are: ${VERIFICATIONS.map((candidate) => candidate.name).join(', ')}`,
    );
    return 2;
  }
  const began = performance.now();
  const { ok, figures, notRun } = await verification.run({ args });
  for (const [figure, value] of Object.entries(figures)) console.log(`${figure.padEnd(44)} ${value}`);
  for (const part of notRun) console.log(`not run: ${part}`);
  // what was asked for and did not run is not a success
  const holds = ok && notRun.length === 0;
  console.log(
    `${name}: ${holds ? 'holds' : ok ? 'what ran holds, but not all of it ran' : 'DOES NOT HOLD'} (${((performance.now() - began) / 1000).toFixed(1)} s)`,
  );
  return holds ? 0 : 1;
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
