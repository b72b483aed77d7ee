import { unitHash } from '../inference/route.js';

/**
 * Whether a request is in a sample. Its id decides, so that its answer is, too, on every gateway, and each time it is
 * asked; a request in a sample of some rate is in all samples of higher rates.
 */
export function inSample(requestId: string, rate: number): boolean {
  return rate >= 1 || unitHash(requestId) < rate;
}
