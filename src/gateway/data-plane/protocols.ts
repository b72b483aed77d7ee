import type { SERVER_PROTOCOLS, ServerSpec } from '../../core/models/server.js';
import { AppError } from '../../errors.js';
import type { Verb } from './paths.js';

export type Protocol = (typeof SERVER_PROTOCOLS)[number];

const OF_VERB: Readonly<Record<Verb, Protocol>> = { infer: 'v2', predict: 'v1', explain: 'v1' };

/** Refuses what a server of somebody else's making was not said to speak. */
export function refuseOtherProtocol({ protocols }: ServerSpec, verb: Verb | { readonly path: string }): void {
  const wanted = typeof verb === 'string' ? OF_VERB[verb] : 'openai';
  if (protocols.includes(wanted)) return;
  throw new AppError('unsupported', `the model's server speaks ${protocols.join(' and ')}, not ${wanted}`);
}
