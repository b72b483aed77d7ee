/** What is measured: kinds of request, and at how many connections. */
import type { Form } from '../support/predictions.js';
import type { Peer } from './peer.js';

export type CaseName = 'json1' | 'json64' | 'bin1' | 'bin64' | 'grpc1';

export interface Case {
  readonly name: CaseName;
  readonly about: string;
  readonly form: Form;
  readonly rows: number;
  readonly connections: readonly number[];
}

export const CASES: readonly Case[] = [
  { name: 'json1', about: 'one row of 64 numbers as JSON', form: 'json', rows: 1, connections: [1, 32, 256] },
  { name: 'json64', about: '64 rows as JSON', form: 'json', rows: 64, connections: [32] },
  { name: 'bin1', about: 'one row, binary tensors both ways', form: 'binary', rows: 1, connections: [32] },
  { name: 'bin64', about: '64 rows, binary tensors both ways', form: 'binary', rows: 64, connections: [32] },
  { name: 'grpc1', about: 'one row over gRPC, fp32_contents', form: 'grpc', rows: 1, connections: [1, 32] },
];

/** One figure's place: `json1/32`. */
export function cellName(name: CaseName, connections: number): string {
  return `${name}/${connections}`;
}

/** The form in which this peer takes the case. */
export function formFor(peer: Peer, { form }: Case): Form {
  return form === 'json' && peer.ownJson ? 'rows' : form;
}

/** Proxies pass bytes on, so that one small and one large body say it all. */
export const PROXY_CASES: readonly CaseName[] = ['json1', 'json64'];
