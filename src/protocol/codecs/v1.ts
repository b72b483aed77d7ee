/** The V1 protocol: TensorFlow Serving's REST API, and KServe's, which is the same but for `:explain`. */
import { type InferCodec, JSON_HEADERS } from './codec.js';
import { readV1Answer } from './v1-answer.js';
import { printV1Response, type V1Names } from './v1-print.js';
import { readV1Request, type V1Request } from './v1-read.js';

/** Of `:predict`. */
export const v1: InferCodec = codecOf({ rows: 'predictions', columns: 'outputs', before: '' });

/** Of `:explain`. */
export const v1Explain: InferCodec = codecOf({
  rows: 'explanations',
  columns: 'explanations',
  before: '"predictions":[],',
});

function codecOf(names: V1Names): InferCodec {
  return {
    read: ({ body }, model) => readV1Request(body, model),
    outputs: ({ body }, signature) => readV1Answer(body, signature),
    print: (asked, response) => ({
      headers: JSON_HEADERS,
      body: printV1Response(asked as V1Request, response, names),
    }),
  };
}
