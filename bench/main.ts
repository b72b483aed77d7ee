/**
 * npm run bench [-- NAME [--save FILE]]: without a name it lists the benchmarks; with one it runs that one and prints its
 * tables. Nothing is written unless `--save` names a file.
 */
import { constants } from 'node:os';
import { AppError } from '../src/errors.js';
import { batching } from './batching/bench.js';
import type { Benchmark } from './benchmark.js';
import { coldStart } from './cold-start/bench.js';
import { grpcWire } from './grpc-wire/bench.js';
import { hop } from './hop/bench.js';
import { overload } from './overload/bench.js';
import { peers } from './peers/bench.js';
import { shadow } from './shadow/bench.js';
import { Cleanup } from './support/cleanup.js';
import { renderResult } from './support/print.js';
import { saveSection } from './support/save.js';

const BENCHMARKS: readonly Benchmark[] = [hop, peers, batching, overload, shadow, coldStart, grpcWire];

async function main([name, ...args]: string[], cleanup: Cleanup): Promise<number> {
  if (name === undefined || name === '--help') {
    const width = Math.max(...BENCHMARKS.map((benchmark) => benchmark.name.length));
    for (const benchmark of BENCHMARKS) console.log(`${benchmark.name.padEnd(width)}  ${benchmark.summary}`);
    console.log('\nrun one with: npm run bench -- NAME [--save FILE]');
    return 0;
  }
  const benchmark = BENCHMARKS.find((candidate) => candidate.name === name);
  if (!benchmark) {
    console.error(
      `there is no benchmark "${name}"; there are: ${BENCHMARKS.map((candidate) => candidate.name).join(', ')}`,
    );
    return 2;
  }
  const save = args.indexOf('--save');
  const [, file] = save === -1 ? [] : args.splice(save, 2);
  if (save !== -1 && file === undefined) {
    console.error('--save needs the path of a file');
    return 2;
  }
  const result = await benchmark.run({ args, cleanup });
  cleanup.throwIfOver();
  const text = renderResult(benchmark.name, result);
  process.stdout.write(text);
  if (file !== undefined) await saveSection(file, benchmark.name, text);
  return 0;
}

const cleanup = new Cleanup();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  // a second one ends us at once; what we started ends with us even then
  process.once(signal, () => void cleanup.run().then(() => process.exit(128 + constants.signals[signal])));
}
main(process.argv.slice(2), cleanup)
  .catch((error) => {
    console.error(error instanceof AppError && error.code !== 'internal' ? error.message : error);
    return 1;
  })
  .then(async (code) => {
    await cleanup.run();
    process.exit(code);
  });
