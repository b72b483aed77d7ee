/** The ways by which the gateway is asked. */

import type { Tensor } from '../../src/protocol/tensor.js';
import type { Served } from '../engines/answers.js';
import { ask } from '../engines/answers.js';
import { askOverGrpc } from './grpc.js';

export interface Transport {
  readonly name: string;
  /** All outputs in the model's order; rejects with the status and the words of a refusal. */
  ask(served: Served, inputs: readonly Tensor[]): Promise<readonly Tensor[]>;
}

export const rest: Transport = {
  name: 'REST with binary tensors',
  async ask(served, inputs) {
    const answered = await ask(served, { inputs }, 'binary');
    return answered.flatMap((output) => (output.kind === 'binary' ? [output.tensor] : []));
  },
};

export const grpc: Transport = { name: 'gRPC', ask: askOverGrpc };
