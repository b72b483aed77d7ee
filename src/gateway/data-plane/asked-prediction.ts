import type { LoggedPrediction } from '../../core/payload-log/logged.js';
import type { InferCodec } from '../../protocol/codecs/codec.js';

/** A prediction that is about to be made. */
export interface AskedPrediction extends LoggedPrediction {
  /** The form that the call is in; undefined for one that is passed on unread, whatever the endpoint's settings. */
  readonly codec: InferCodec | undefined;
  /** Whether it named its revision. */
  readonly pinned: boolean;
}
