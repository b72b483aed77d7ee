/** Compares two whole answers to one request. Pure. */
import { messageOf } from '../../../errors.js';
import type { InferCodec } from '../../../protocol/codecs/codec.js';
import type { Signature } from '../../../protocol/signature.js';
import type { Tensor } from '../../../protocol/tensor.js';
import type { Reply } from '../forward.js';
import { type Comparison, compareOutputs } from './compare.js';
import type { ShadowSettings } from './settings.js';

const AGREE: Comparison = { differences: [], largest: 0 };

/**
 * Undefined where the real answer cannot be read: then nothing can be said. Answers that are both refusals (4xx) agree,
 * whatever their words. `signature`: of the model that gave the real answer, by which both are read, as a client does.
 */
export function judge(
  codec: InferCodec,
  signature: Signature,
  { real, shadow }: { readonly real: Reply; readonly shadow: Reply },
  settings: ShadowSettings,
): Comparison | undefined {
  const kinds = [real, shadow].map(({ status }) => Math.floor(status / 100));
  if (kinds[0] !== kinds[1])
    return single('status', `status ${real.status}`, `status ${shadow.status}: ${wordsOf(shadow)}`);
  if (kinds[0] !== 2 || isSame(real, shadow)) return AGREE;
  let outputs: readonly Tensor[];
  try {
    outputs = codec.outputs(real, signature);
  } catch {
    return undefined;
  }
  try {
    return compareOutputs(outputs, codec.outputs(shadow, signature), settings);
  } catch (error) {
    return single('unreadable', 'a prediction', messageOf(error));
  }
}

/** Equal bytes need no reading. */
function isSame(real: Reply, shadow: Reply): boolean {
  return real.headers['content-type'] === shadow.headers['content-type'] && real.body.equals(shadow.body);
}

function single(what: 'status' | 'unreadable', real: string, shadow: string): Comparison {
  return { differences: [{ output: '', what, real, shadow: shadow.slice(0, WORDS) }], largest: 0 };
}

const WORDS = 300;

function wordsOf({ body }: Reply): string {
  return body.toString('utf8', 0, WORDS);
}
