/** The tables of what was measured, each figure beside floor-node's. */
import type { Table } from '../benchmark.js';
import { median, spread } from '../support/numbers.js';
import { errorsOf, middle, type Sample } from '../support/sample.js';
import type { LookUp } from './aims.js';
import { type Case, cellName } from './cases.js';
import type { Cores, PeerFigures } from './measure.js';

export const CORES_SAY: Readonly<Record<Cores, string>> = {
  one: 'everything on one core',
  two: 'nothing pinned',
};

/** What the ratios are to. */
const FLOOR = 'floor-node';

export type Figures = ReadonlyMap<Cores, readonly PeerFigures[]>;

export function lookUpIn(figures: Figures): LookUp {
  return (cores, peer, cell) => {
    const samples = samplesOf(figures.get(cores) ?? [], peer, cell);
    if (samples.length === 0) return undefined;
    return {
      perSecond: middle(samples, 'perSecond'),
      p50Ms: middle(samples, 'p50Ms'),
      cpuPer1000: middle(samples, 'cpuPer1000'),
      ownCpuPer1000: middle(samples, 'ownCpuPer1000'),
    };
  };
}

/** A row for each peer at each number of connections; undefined when nobody was measured at this case. */
export function caseTable(cores: Cores, measured: Case, peers: readonly PeerFigures[]): Table | undefined {
  const rows = measured.connections.flatMap((connections) => {
    const cell = cellName(measured.name, connections);
    const floor = samplesOf(peers, FLOOR, cell);
    return peers.flatMap(({ peer }) => {
      const samples = samplesOf(peers, peer.name, cell);
      return samples.length === 0 ? [] : [[`${peer.name}, ${connections}`, ...figuresOf(samples, floor)]];
    });
  });
  if (rows.length === 0) return undefined;
  return {
    title: `${measured.name}, ${CORES_SAY[cores]}: ${measured.about}`,
    columns: [
      'what, connections',
      'req/s',
      'spread %',
      `req/s to ${FLOOR}`,
      'p50 ms',
      'p99 ms',
      'CPU s per 1,000',
      `CPU to ${FLOOR}`,
      'own CPU',
      'load cores',
      'foreign cores',
      'errors',
    ],
    rows,
  };
}

/** How long each takes to start, and what it holds after its load. */
export function startTable(cores: Cores, peers: readonly PeerFigures[]): Table {
  const rows = peers
    .filter(({ memory }) => memory.length > 0)
    .map(({ peer, readyMs, memory }) => [
      peer.name,
      median(readyMs).toFixed(0),
      Math.min(...readyMs).toFixed(0),
      Math.max(...readyMs).toFixed(0),
      ...(['processes', 'rssMb', 'pssMb'] as const).map((what) => median(memory.map((one) => one[what])).toFixed(0)),
    ]);
  return {
    title: `Start and memory, ${CORES_SAY[cores]}`,
    columns: ['what', 'first good prediction, ms', 'min', 'max', 'processes', 'RSS MB loaded', 'PSS MB loaded'],
    rows,
  };
}

/** Above this the work of others, in cores, makes figures that say little. */
const FOREIGN_BOUND = 0.1;

/** The most that others worked in any of the medians, and what that means for the figures. */
export function foreignNote(figures: Figures): string {
  const all = [...figures.values()].flat().flatMap(({ cells }) => [...cells.values()]);
  const most = Math.max(0, ...all.map((samples) => middle(samples, 'foreign')));
  const verdict = most > FOREIGN_BOUND ? `; above ${FOREIGN_BOUND} the figures say little` : '';
  return `work of others at the same time: at most ${most.toFixed(2)} cores in a median${verdict}`;
}

function samplesOf(peers: readonly PeerFigures[], name: string, cell: string): readonly Sample[] {
  return peers.find(({ peer }) => peer.name === name)?.cells.get(cell) ?? [];
}

function figuresOf(samples: readonly Sample[], floor: readonly Sample[]): string[] {
  const of = (figure: keyof Sample) => middle(samples, figure);
  const ratio = (figure: keyof Sample) => (floor.length === 0 ? '' : (of(figure) / middle(floor, figure)).toFixed(2));
  const [cpu, own] = [of('cpuPer1000'), of('ownCpuPer1000')];
  return [
    of('perSecond').toFixed(0),
    spread(samples.map((sample) => sample.perSecond)).toFixed(0),
    ratio('perSecond'),
    of('p50Ms').toFixed(2),
    of('p99Ms').toFixed(2),
    cpu.toFixed(4),
    ratio('cpuPer1000'),
    own === cpu ? '' : own.toFixed(4),
    of('loadCores').toFixed(2),
    of('foreign').toFixed(2),
    String(errorsOf(samples)),
  ];
}
