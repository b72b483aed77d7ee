import { describe, expect, it } from 'vitest';
import type { Sample } from '../support/sample.js';
import { CASES, type Case } from './cases.js';
import { floorNode } from './floor-node/peer.js';
import type { PeerFigures } from './measure.js';
import { nginx } from './nginx/peer.js';
import type { Peer } from './peer.js';
import { caseTable, foreignNote, lookUpIn, startTable } from './report.js';

const JSON1 = CASES[0] as Case;

const sample = (changes: Partial<Sample>): Sample => ({
  perSecond: 1000,
  p50Ms: 1,
  p99Ms: 2,
  cpuPer1000: 0.05,
  ownCpuPer1000: 0.05,
  errors: 0,
  loadCores: 0.1,
  foreign: 0,
  ...changes,
});

const figures = (peer: Peer, cells: Readonly<Record<string, Sample[]>>): PeerFigures => ({
  peer,
  readyMs: [120, 100, 400],
  memory: [{ processes: 2, rssMb: 160.4, pssMb: 110.6 }],
  cells: new Map(Object.entries(cells)),
  notRun: new Set(),
});

const measured = [
  figures(floorNode, {
    'json1/1': [sample({ perSecond: 900 }), sample({ perSecond: 1000 }), sample({ perSecond: 1100 })],
    'json1/32': [sample({ perSecond: 10_000 })],
  }),
  figures(nginx, { 'json1/32': [sample({ perSecond: 8000, cpuPer1000: 0.06, ownCpuPer1000: 0.01, errors: 2 })] }),
];

describe('report', () => {
  it('sets each figure beside that of floor-node, connections by connections', () => {
    const table = caseTable('one', JSON1, measured);
    expect(table?.title).toBe('json1, everything on one core: one row of 64 numbers as JSON');
    expect(table?.rows).toEqual([
      ['floor-node, 1', '1000', '20', '1.00', '1.00', '2.00', '0.0500', '1.00', '', '0.10', '0.00', '0'],
      ['floor-node, 32', '10000', '0', '1.00', '1.00', '2.00', '0.0500', '1.00', '', '0.10', '0.00', '0'],
      ['nginx, 32', '8000', '0', '0.80', '1.00', '2.00', '0.0600', '1.20', '0.0100', '0.10', '0.00', '2'],
    ]);
    expect(table?.rows.every((row) => row.length === table.columns.length)).toBe(true);
  });

  it('leaves ratios out where floor-node was not measured, and a table where nobody was', () => {
    const alone = measured.slice(1);
    expect(caseTable('two', JSON1, alone)?.rows[0]?.slice(0, 4)).toEqual(['nginx, 32', '8000', '0', '']);
    expect(caseTable('two', JSON1, [])).toBeUndefined();
  });

  it('warns when others worked', () => {
    const busy = figures(nginx, { 'json1/1': [sample({ foreign: 0.4 })] });
    expect(foreignNote(new Map([['one', measured]]))).toBe(
      'work of others at the same time: at most 0.00 cores in a median',
    );
    expect(foreignNote(new Map([['one', [...measured, busy]]]))).toMatch(/at most 0\.40 cores.*say little/);
  });

  it('tells starts and memory', () => {
    expect(startTable('one', measured).rows[0]).toEqual(['floor-node', '120', '100', '400', '2', '160', '111']);
  });

  it('looks medians up by cores, peer and cell', () => {
    const lookUp = lookUpIn(new Map([['one', measured]]));
    expect(lookUp('one', 'floor-node', 'json1/1')?.perSecond).toBe(1000);
    expect(lookUp('one', 'nginx', 'json1/1')).toBeUndefined();
    expect(lookUp('two', 'floor-node', 'json1/1')).toBeUndefined();
  });
});
