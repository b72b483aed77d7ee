import { GrpcConnections } from '../../src/gateway/grpc/connections.js';

/** For fronts on which no gRPC call comes. */
export function noGrpc(): GrpcConnections {
  return new GrpcConnections({
    maxMessageBytes: 1000,
    onCall: () => {
      throw new Error('no call is served');
    },
    onFault: () => {},
  });
}
