/** The methods that are served (docs/inference.proto), by their paths. */

/** The protocol's service. */
export const INFERENCE_SERVICE = 'inference.GRPCInferenceService';

/** Of that service. */
const INFERENCE = [
  'ServerLive',
  'ServerReady',
  'ServerMetadata',
  'ModelReady',
  'ModelMetadata',
  'ModelConfig',
  'ModelStatistics',
  'ModelInfer',
  'ModelStreamInfer',
  'RepositoryIndex',
  'RepositoryModelLoad',
  'RepositoryModelUnload',
  'TraceSetting',
  'LogSettings',
] as const;

/** A method by its name; `HealthCheck` is `grpc.health.v1.Health/Check`. All but `ModelStreamInfer` are unary. */
export type GrpcMethod = (typeof INFERENCE)[number] | 'HealthCheck';

const BY_PATH: ReadonlyMap<string, GrpcMethod> = new Map<string, GrpcMethod>([
  ...INFERENCE.map((name): [string, GrpcMethod] => [`/${INFERENCE_SERVICE}/${name}`, name]),
  ['/grpc.health.v1.Health/Check', 'HealthCheck'],
]);

/** The method of a call's path; undefined: there is none. */
export function grpcMethod(path: string): GrpcMethod | undefined {
  return BY_PATH.get(path);
}
