import { describe, expect, it } from 'vitest';
import { judgeAims, type LookUp, type Medians } from './aims.js';

const medians = (changes: Partial<Medians>): Medians => ({
  perSecond: 1000,
  p50Ms: 1,
  cpuPer1000: 0.1,
  ownCpuPer1000: 0.1,
  ...changes,
});

const MEASURED: Readonly<Record<string, Medians>> = {
  'floor-node json1/1': medians({ p50Ms: 0.1 }),
  'floor-node json1/32': medians({ cpuPer1000: 0.06 }),
  'floor-python json64/32': medians({ perSecond: 4000 }),
  'floor-echo json1/32': medians({ cpuPer1000: 0.02 }),
  'nginx json1/32': medians({ ownCpuPer1000: 0.02, cpuPer1000: 0.08 }),
  'envoy json1/32': medians({ ownCpuPer1000: 0.04 }),
  'sluice json1/1': medians({ p50Ms: 0.26 }),
  'sluice json1/32': medians({ cpuPer1000: 0.036, ownCpuPer1000: 0.029 }),
  'sluice json64/32': medians({ perSecond: 4000 }),
  'sluice bin1/32': medians({ cpuPer1000: 0.03 }),
  'sluice grpc1/32': medians({ cpuPer1000: 0.05 }),
};

const lookUp: LookUp = (cores, peer, cell) => (cores === 'one' ? MEASURED[`${peer} ${cell}`] : undefined);

describe('judgeAims', () => {
  it('holds each quotient against its bound', () => {
    const { verdicts } = judgeAims(lookUp);
    expect(verdicts.map((verdict) => verdict.replace(/^aim: /, ''))).toEqual([
      "sluice's CPU at json1/32 to floor-node's, at most 0.6: it is 0.60: met",
      "sluice's p50 at json1/1 to floor-node's, at most 2.5: it is 2.60: MISSED",
      "sluice's throughput at json64/32 to floor-python's, at least 1: it is 1.00: met",
      "sluice's CPU at bin1/32 to its own at json1/32, at most 1: it is 0.83: met",
      "sluice's CPU at grpc1/32 to its own at json1/32, at most 1: it is 1.39: MISSED",
      "the framed hop's CPU at json1/32 (the gateway's own less floor-echo's) to nginx's own, at most 0.5: it is 0.45: met",
    ]);
  });

  it('says what an aim lacks', () => {
    expect(judgeAims(lookUp).notRun).toEqual([
      "aim: sluice-proxy's own CPU at json1/32 to envoy's, at most 1: sluice-proxy was not measured at json1/32 on one core",
    ]);
    const nothing = judgeAims(() => undefined);
    expect(nothing.verdicts).toEqual([]);
    expect(nothing.notRun).toHaveLength(7);
  });
});
