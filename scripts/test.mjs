/**
 * npm test [-- vitest arguments]: types, lint, then every test. Prints, last and alone on a line, how many passed and
 * failed, counted from the runner's own report.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const bin = (name) => join('node_modules', '.bin', name);
const run = (command, args) => spawnSync(command, args, { stdio: 'inherit' }).status ?? 1;

const folder = mkdtempSync(join(tmpdir(), 'sluice-test-'));
const report = join(folder, 'report.json');
let checks = 0;
let failedChecks = 0;
let passed = 0;
let failed = 0;
let skipped = 0;
try {
  for (const [name, args] of [
    ['tsc', ['--noEmit']],
    ['biome', ['check', '--error-on-warnings']],
  ]) {
    checks++;
    if (run(bin(name), args) !== 0) {
      failedChecks++;
      console.error(`${name} found problems`);
    }
  }
  const status = run(bin('vitest'), [
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...process.argv.slice(2),
  ]);
  const { numPassedTests, numFailedTests, numPendingTests, numTotalTests, testResults } = JSON.parse(
    readFileSync(report, 'utf8'),
  );
  passed = numPassedTests;
  skipped = numPendingTests;
  // a file that could not even be loaded counts as one failure
  const broken = testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0).length;
  failed = numFailedTests + broken;
  if (status !== 0 && failed === 0) failed = 1;
  if (numTotalTests === 0) failed++;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  failed++;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const bad = failed + failedChecks;
console.log(`${passed + checks - failedChecks} passed, ${bad} failed${skipped ? `, ${skipped} skipped` : ''}`);
process.exit(bad === 0 ? 0 : 1);
