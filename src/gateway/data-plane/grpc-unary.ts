import type { AppError } from '../../errors.js';
import type { CallReceiver, GrpcCall } from '../grpc/call.js';
import { oneMessage } from '../grpc/unary.js';
import { type GrpcAsker, GrpcPrediction, type Metadata } from './grpc-prediction.js';
import type { Plane } from './plane.js';

/** `ModelInfer`: one request, one answer. */
export class UnaryInfer implements CallReceiver, GrpcAsker {
  readonly unary = true;
  private readonly began = performance.now();
  private readonly prediction: GrpcPrediction;
  private request: Buffer | undefined;

  constructor(
    private readonly plane: Plane,
    private readonly call: GrpcCall,
  ) {
    this.prediction = new GrpcPrediction(plane, call, this, call.requestId ?? '');
  }

  message(bytes: Buffer): void {
    this.request = oneMessage(bytes, this.request);
  }

  end(): void {
    const request = oneMessage(this.request);
    const { deadlineMs } = this.call;
    const { predictTimeoutMs } = this.plane.services.limits;
    const leftMs = deadlineMs === undefined ? predictTimeoutMs : deadlineMs - (performance.now() - this.began);
    this.prediction.begin(request, Math.max(1, Math.min(leftMs, predictTimeoutMs)));
  }

  cancel(): void {
    this.prediction.cancel();
  }

  writable(): void {
    this.prediction.resume();
  }

  answered(message: readonly Buffer[], metadata: Metadata): void {
    this.call.headMetadata = metadata;
    this.call.reply(message);
  }

  begins(bytes: number, metadata: Metadata): void {
    this.call.headMetadata = metadata;
    this.call.beginReply(bytes);
  }

  piece(bytes: Buffer): boolean {
    return this.call.sendPiece(bytes);
  }

  ends(): void {
    this.call.end();
  }

  failed(error: AppError): void {
    this.call.fail(error);
  }
}
