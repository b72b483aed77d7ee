/** What Sluice is meant to reach beside its peers, and whether it did. */
import { AppError, messageOf } from '../../src/errors.js';
import type { Sample } from '../support/sample.js';
import type { Cores } from './measure.js';

export type Medians = Pick<Sample, 'perSecond' | 'p50Ms' | 'cpuPer1000' | 'ownCpuPer1000'>;

/** The medians of a peer at a cell such as `json1/32`; undefined when they were not measured. */
export type LookUp = (cores: Cores, peer: string, cell: string) => Medians | undefined;

/** As `LookUp`, on one core; throws `not_ready` instead. */
type Get = (peer: string, cell: string) => Medians;

interface Aim {
  /** The quotient in words. */
  readonly says: string;
  readonly bound: number;
  readonly least?: boolean;
  quotient(get: Get): number;
}

/** All on one core, where no wake-up of another one covers what a request costs. */
const AIMS: readonly Aim[] = [
  {
    says: "sluice's CPU at json1/32 to floor-node's",
    bound: 0.6,
    quotient: (get) => get('sluice', 'json1/32').cpuPer1000 / get('floor-node', 'json1/32').cpuPer1000,
  },
  {
    says: "sluice's p50 at json1/1 to floor-node's",
    bound: 2.5,
    quotient: (get) => get('sluice', 'json1/1').p50Ms / get('floor-node', 'json1/1').p50Ms,
  },
  {
    says: "sluice's throughput at json64/32 to floor-python's",
    bound: 1,
    least: true,
    quotient: (get) => get('sluice', 'json64/32').perSecond / get('floor-python', 'json64/32').perSecond,
  },
  {
    says: "sluice's CPU at bin1/32 to its own at json1/32",
    bound: 1,
    quotient: (get) => get('sluice', 'bin1/32').cpuPer1000 / get('sluice', 'json1/32').cpuPer1000,
  },
  {
    says: "sluice's CPU at grpc1/32 to its own at json1/32",
    bound: 1,
    quotient: (get) => get('sluice', 'grpc1/32').cpuPer1000 / get('sluice', 'json1/32').cpuPer1000,
  },
  {
    says: "sluice-proxy's own CPU at json1/32 to envoy's",
    bound: 1,
    quotient: (get) => get('sluice-proxy', 'json1/32').ownCpuPer1000 / get('envoy', 'json1/32').ownCpuPer1000,
  },
  {
    says: "the framed hop's CPU at json1/32 (the gateway's own less floor-echo's) to nginx's own",
    bound: 0.5,
    quotient: (get) =>
      (get('sluice', 'json1/32').ownCpuPer1000 - get('floor-echo', 'json1/32').cpuPer1000) /
      get('nginx', 'json1/32').ownCpuPer1000,
  },
];

export interface Judgement {
  /** One line for each aim that could be judged: met or MISSED. */
  readonly verdicts: string[];
  readonly notRun: string[];
}

export function judgeAims(lookUp: LookUp): Judgement {
  const judgement: Judgement = { verdicts: [], notRun: [] };
  const get: Get = (peer, cell) => {
    const found = lookUp('one', peer, cell);
    if (!found) throw new AppError('not_ready', `${peer} was not measured at ${cell} on one core`);
    return found;
  };
  for (const { says, bound, least, quotient } of AIMS) {
    const aim = `aim: ${says}, ${least ? 'at least' : 'at most'} ${bound}`;
    try {
      const value = quotient(get);
      const met = least ? value >= bound : value <= bound;
      judgement.verdicts.push(`${aim}: it is ${value.toFixed(2)}: ${met ? 'met' : 'MISSED'}`);
    } catch (error) {
      judgement.notRun.push(`${aim}: ${messageOf(error)}`);
    }
  }
  return judgement;
}
