/** KServe's agents beside a model server, logger and batcher, as settings of the endpoint. */
import { defined } from '../../values.js';
import type { Fields } from './fields.js';
import type { Settings } from './scaling.js';

/** Undefined where nothing is logged. */
export function readLogger(predictor: Fields): Settings | undefined {
  const logger = predictor.child('logger');
  if (!logger) return undefined;
  const url = logger.text('url');
  const mode = logger.oneOf('mode', ['all', 'request', 'response']) ?? 'all';
  const metadataHeaders = logger.texts('metadataHeaders');
  if (url === undefined && !logger.has('storage')) logger.refuse('url', 'is missing: name who takes the records');
  logger.refuseOf({
    storage: 'use an Endpoint of Sluice with payloadLog.sink.kind: blobs',
  });
  logger.warnOf({
    metadataAnnotations: 'endpoints have no annotations to record',
  });
  logger.end();
  return defined({
    mode,
    metadataHeaders: metadataHeaders.length > 0 ? metadataHeaders : undefined,
    sink: { kind: 'http', url },
  });
}

/** Undefined where nothing is said of batches. */
export function readBatcher(predictor: Fields): Settings | undefined {
  const batcher = predictor.child('batcher');
  if (!batcher) return undefined;
  const maxRows = batcher.whole('maxBatchSize', 1, 65_536);
  const delayMs = batcher.whole('maxLatency', 0, 10_000);
  batcher.warnOf({ timeout: 'a request that waits for a batch has the time limit of any request' });
  batcher.end();
  return defined({ maxRows, delayMs });
}
