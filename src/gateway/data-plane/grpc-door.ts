/** The door of predictions over gRPC. */
import { AppError } from '../../errors.js';
import type { CallReceiver, GrpcCall } from '../grpc/call.js';
import { grpcMethod } from '../grpc/methods.js';
import { unary } from '../grpc/unary.js';
import { createRequestIds, saneRequestId } from '../request-ids.js';
import { INFORM } from './grpc-information.js';
import { StreamInfer } from './grpc-stream.js';
import { UnaryInfer } from './grpc-unary.js';
import type { Plane } from './plane.js';

export function createGrpcDoor(plane: Plane): (call: GrpcCall) => CallReceiver {
  const nextId = createRequestIds();
  return (call) => {
    call.requestId = saneRequestId(call.header('x-request-id')) ?? nextId();
    const method = grpcMethod(call.path);
    if (method === undefined) throw new AppError('unsupported', `there is no method ${call.path.slice(0, 200)}`);
    if (method === 'ModelInfer') return new UnaryInfer(plane, call);
    if (method === 'ModelStreamInfer') return new StreamInfer(plane, call);
    return unary((message) => {
      INFORM[method](plane, call, message).then(
        (answer) => call.reply([answer]),
        (error) => call.fail(error),
      );
      return undefined;
    });
  };
}
