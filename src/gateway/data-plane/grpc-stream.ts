import { AppError } from '../../errors.js';
import { wrapStreamResponse, writeStreamError } from '../../protocol/grpc/infer-response.js';
import type { CallReceiver, GrpcCall } from '../grpc/call.js';
import { type GrpcAsker, GrpcPrediction } from './grpc-prediction.js';
import type { Plane } from './plane.js';

/** Requests of one stream that are worked on at once; the next ones wait in the client. */
const MAX_IN_FLIGHT = 64;

/**
 * `ModelStreamInfer`: requests are worked on as they come, and answered in their order. One that fails is answered with
 * its error, and the stream goes on.
 */
export class StreamInfer implements CallReceiver {
  private readonly began = performance.now();
  private readonly elements = new Set<Element>();
  private readonly deadline: NodeJS.Timeout | undefined;
  /** Requests that came. */
  private count = 0;
  private ended = false;
  private full = false;

  constructor(
    private readonly plane: Plane,
    private readonly call: GrpcCall,
  ) {
    const { deadlineMs } = call;
    if (deadlineMs === undefined) return;
    this.deadline = setTimeout(() => this.late(deadlineMs), Math.min(deadlineMs, MAX_TIMER_MS));
  }

  message(bytes: Buffer): void {
    const element = new Element(this.plane, this.call, `${this.call.requestId}/${this.count++}`, () => this.flush());
    this.elements.add(element);
    if (this.elements.size >= MAX_IN_FLIGHT) this.call.pause();
    const { predictTimeoutMs } = this.plane.services.limits;
    const { deadlineMs = predictTimeoutMs } = this.call;
    const leftMs = deadlineMs - (performance.now() - this.began);
    element.begin(bytes, this.deadline ? Math.max(1, Math.min(leftMs, predictTimeoutMs)) : predictTimeoutMs);
  }

  end(): void {
    this.ended = true;
    this.flush();
  }

  cancel(): void {
    clearTimeout(this.deadline);
    for (const element of this.elements) element.cancel();
    this.elements.clear();
  }

  writable(): void {
    this.full = false;
    this.flush();
  }

  /** Sends what is answered, in the order of the requests. */
  private flush(): void {
    for (const element of this.elements) {
      if (this.full || !element.answer) break;
      this.elements.delete(element);
      if (!this.call.send(element.answer)) this.full = true;
    }
    if (this.elements.size < MAX_IN_FLIGHT) this.call.resume();
    if (!this.ended || this.elements.size > 0) return;
    clearTimeout(this.deadline);
    this.call.end();
  }

  private late(deadlineMs: number): void {
    this.cancel();
    this.call.fail(new AppError('timeout', `the stream did not end within ${deadlineMs} ms`));
  }
}

/** Timers count no further. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** One request of a stream. */
class Element implements GrpcAsker {
  /** What goes out, once it is known. */
  answer: readonly Buffer[] | undefined;
  private readonly prediction: GrpcPrediction;

  constructor(
    plane: Plane,
    call: GrpcCall,
    id: string,
    private readonly onAnswer: () => void,
  ) {
    this.prediction = new GrpcPrediction(plane, call, this, id);
  }

  begin(message: Buffer, timeoutMs: number): void {
    this.prediction.begin(message, timeoutMs);
  }

  cancel(): void {
    this.prediction.cancel();
  }

  answered(message: readonly Buffer[]): void {
    this.settle(wrapStreamResponse(message));
  }

  failed(error: AppError): void {
    this.settle(writeStreamError(error.code === 'internal' ? 'internal error' : error.message));
  }

  private settle(answer: readonly Buffer[]): void {
    this.answer = answer;
    this.onAnswer();
  }
}
