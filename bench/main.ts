/**
 * npm run bench [-- NAME [--save FILE]]: without a name it lists the benchmarks; with one it runs that one and prints its
 * tables. Nothing is written unless `--save` names a file.
 */
import { writeFile } from 'node:fs/promises';
import type { Benchmark } from './benchmark.js';
import { coldStart } from './cold-start/bench.js';
import { hop } from './hop/bench.js';
import { renderResult } from './support/print.js';

const BENCHMARKS: readonly Benchmark[] = [hop, coldStart];

async function main([name, ...args]: string[]): Promise<number> {
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
  const text = renderResult(benchmark.name, await benchmark.run({ args }));
  process.stdout.write(text);
  if (file !== undefined) await writeFile(file, text);
  return 0;
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
