import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Verification } from '../verification.js';
import type { Part } from './part.js';
import { tensorflow } from './parts/tensorflow.js';

const PARTS: readonly Part[] = [tensorflow];

const CASES = 100;

/**
 * Models of other frameworks, served by a real gateway and asked over HTTP, against what the framework itself answers in
 * Python: every number within 1e-6, texts and shapes exactly. Names of parts run those alone; `--cases N` asks each model
 * N times.
 */
export const engines: Verification = {
  name: 'engines',
  summary: "answers of served models against the framework's own: TensorFlow SavedModels",
  async run({ args }) {
    const { parts, cases } = readArgs(args);
    const figures: Record<string, string | number> = {};
    const notRun: string[] = [];
    let ok = true;
    const base = await mkdtemp(join(tmpdir(), 'sluice-engines-'));
    try {
      for (const part of parts) {
        const folder = join(base, part.name);
        await mkdir(folder);
        const result = await part.run({ folder, cases });
        ok &&= result.ok;
        for (const [figure, value] of Object.entries(result.figures)) figures[`${part.name}: ${figure}`] = value;
        for (const missing of result.notRun) notRun.push(`${part.name}: ${missing}`);
      }
    } finally {
      await rm(base, { recursive: true, force: true });
    }
    return { ok, figures, notRun };
  },
};

function readArgs(args: readonly string[]): { parts: readonly Part[]; cases: number } {
  const at = args.indexOf('--cases');
  const cases = at === -1 ? CASES : Number(args[at + 1]);
  if (!Number.isInteger(cases) || cases < 1) throw new Error(`--cases is ${args[at + 1]}, expected a whole number`);
  const names = args.filter((_, index) => at === -1 || (index !== at && index !== at + 1));
  const unknown = names.find((name) => !PARTS.some((part) => part.name === name));
  if (unknown !== undefined) {
    throw new Error(`there is no part "${unknown}"; there are: ${PARTS.map((part) => part.name).join(', ')}`);
  }
  return { parts: names.length === 0 ? PARTS : PARTS.filter((part) => names.includes(part.name)), cases };
}
