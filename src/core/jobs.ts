/**
 * What the gateway and the workers ask of the workers through the queue: name → payload. A payload only names the row
 * in Postgres that says what to do; the row decides whether there still is something to do, so a job delivered twice,
 * late, or for nothing is harmless.
 */
export interface JobMap {
  /** Run one attempt of a training job. */
  'training.run': { readonly jobId: string };
  /** Take a promotion through its gates. */
  'promotion.decide': { readonly promotionId: string };
  /** Look at a rollout and move it on. */
  'rollout.advance': { readonly rolloutId: string };
  /** Let an endpoint's traffic follow its rewards. */
  'bandit.adjust': { readonly endpointId: string };
  /** Run one attempt of an asynchronous prediction. */
  'prediction.run': { readonly predictionId: string };
  /** Run one attempt of a batch prediction. */
  'batch.run': { readonly batchId: string };
  /** Try to deliver a webhook. */
  'webhook.send': { readonly deliveryId: string };
  /** Send a subscription the events that it waits for. */
  'webhook.push': { readonly subscriptionId: string };
}

export type JobName = keyof JobMap;

export interface EnqueueOptions {
  /** Comes from the resource; while a queue job of this id is waiting, delayed or running, enqueueing it again does nothing. */
  readonly id: string;
  /** Earliest start, in milliseconds from now. */
  readonly delayMs?: number;
}

export type Enqueue = <N extends JobName>(name: N, data: JobMap[N], options: EnqueueOptions) => Promise<void>;

/** Handles one delivery. Throwing an AppError whose code is not retryable ends it; any other throw is retried with back-off. */
export type JobHandler<N extends JobName> = (data: JobMap[N], signal: AbortSignal) => Promise<void>;
export type JobHandlers = { readonly [N in JobName]: JobHandler<N> };

/**
 * The queue id under which a resource waits for its next attempt after `attempts` attempts. It counts, because the
 * delivery of an earlier attempt may still be held by a worker that died.
 */
export function attemptQueueId(id: string, attempts: number): string {
  return `${id}-${attempts}`;
}
