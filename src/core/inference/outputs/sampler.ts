/** Counts what a model gives, for the endpoints where somebody compares it: after the answer has gone out, and bounded. */

import { messageOf } from '../../../errors.js';
import type { Log } from '../../../log.js';
import type { InferCodec } from '../../../protocol/codecs/codec.js';
import type { Observations } from '../observations.js';
import type { RevisionRoute } from '../route.js';
import { kindsOf } from './answer-kinds.js';

/** Answers read in a second; a comparison needs hundreds, and reading takes the time of answering. */
const A_SECOND = 200;
/** Longer answers are not read. */
const MAX_BYTES = 2 ** 18;

export interface SampledAnswer {
  readonly revision: RevisionRoute;
  readonly outputs: readonly string[];
  readonly codec: InferCodec;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export class OutputSampler {
  private second = 0;
  private left = A_SECOND;
  private readonly waiting: SampledAnswer[] = [];

  constructor(
    private readonly observations: Observations,
    private readonly log: Log,
    private readonly now: () => number,
  ) {}

  /** Takes an answer, or not: which ones has nothing to do with what they say. */
  take(answer: SampledAnswer): void {
    const second = Math.floor(this.now() / 1000);
    if (second !== this.second) [this.second, this.left] = [second, A_SECOND];
    if (this.left === 0 || answer.body.length > MAX_BYTES) return;
    this.left--;
    // the answer's bytes may be used again once it is sent
    this.waiting.push({ ...answer, body: Buffer.from(answer.body) });
    if (this.waiting.length === 1) setImmediate(() => this.readOne());
  }

  /** One in each turn of the loop, so that requests are never behind more than that. */
  private readOne(): void {
    const answer = this.waiting.shift();
    if (!answer) return;
    if (this.waiting.length > 0) setImmediate(() => this.readOne());
    const { revision, outputs, codec } = answer;
    try {
      const wanted = { outputs, signature: revision.signature, random: Math.random };
      for (const [output, bucket] of kindsOf(codec, answer, wanted)) {
        const of = { endpointId: revision.endpointId, revision: revision.number, metric: `output.${output}` };
        this.observations.observe(of, { bucket }, this.now());
      }
    } catch (error) {
      this.log.debug('an answer was not counted', { revision: revision.key, error: messageOf(error) });
    }
  }
}
