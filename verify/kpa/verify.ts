import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '../../src/errors.js';
import type { Verification } from '../verification.js';
import { agrees, type Comparison, readFixtures, replay } from './replay.js';

const exec = promisify(execFile);

/** Mismatches that are printed in full. */
const SHOWN = 3;

/**
 * The autoscaler against Knative's own code: every recorded trace is replayed, and where Go is installed the traces are
 * made again from Knative's source and compared with the recorded ones. `--no-go` leaves that second part out.
 * Runs from the folder of the package.
 */
export const kpa: Verification = {
  name: 'kpa',
  summary: "autoscaling decisions and windows, sample by sample, against Knative's own autoscaler",
  async run({ args }) {
    const root = resolve('verify', 'kpa');
    const fixtures = await readFixtures(join(root, 'fixtures'));
    const counts: Record<Comparison['kind'], number> = { average: 0, maximum: 0, decision: 0, settings: 0 };
    const wrong: Comparison[] = [];
    for (const [file, text] of fixtures) {
      for (const comparison of replay(file, text)) {
        counts[comparison.kind]++;
        if (!agrees(comparison)) wrong.push(comparison);
      }
    }
    for (const mismatch of wrong.slice(0, SHOWN)) console.error('kpa mismatch', JSON.stringify(mismatch, null, 2));

    const remade = args.includes('--no-go') ? { notRun: 'left out by --no-go' } : await regenerate(root, fixtures);
    const { differing } = remade;
    for (const file of differing ?? []) console.error(`kpa: ${file} is not what Knative's code gives now`);
    return {
      ok: fixtures.size > 0 && wrong.length === 0 && (differing ?? []).length === 0,
      figures: {
        traces: fixtures.size,
        decisions: counts.decision,
        'window averages': counts.average,
        'window maxima': counts.maximum,
        'resolved settings': counts.settings,
        mismatches: wrong.length,
        'traces made again': differing === undefined ? 'not run' : fixtures.size,
        'traces that differ when made again': differing?.length ?? 'not run',
      },
      notRun: remade.notRun === undefined ? [] : [`traces made again from Knative's source: ${remade.notRun}`],
    };
  },
};

interface Regenerated {
  /** Fixtures that are not byte for byte what came out now; undefined: not run. */
  readonly differing?: string[];
  readonly notRun?: string;
}

async function regenerate(root: string, fixtures: ReadonlyMap<string, string>): Promise<Regenerated> {
  try {
    await exec('go', ['version']);
  } catch {
    return { notRun: 'Go is not installed' };
  }
  const work = await mkdtemp(join(tmpdir(), 'sluice-kpa-'));
  try {
    const [loads, made] = [join(work, 'loads'), join(work, 'fixtures')];
    await Promise.all([mkdir(loads), mkdir(made)]);
    try {
      for (const program of ['windows', 'autoscaler']) {
        await exec('go', ['build', '-o', join(work, program), '.'], { cwd: join(root, 'go', program) });
      }
    } catch (error) {
      return { notRun: `Go could not build it here: ${messageOf(error)}` };
    }
    for (const program of ['windows', 'autoscaler']) await exec(join(work, program), [loads, made]);
    const now = await readFixtures(made);
    const files = new Set([...fixtures.keys(), ...now.keys()]);
    return { differing: [...files].filter((file) => fixtures.get(file) !== now.get(file)) };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
