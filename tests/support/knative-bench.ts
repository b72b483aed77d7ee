/** An installation on a real cluster: endpoints in a real Postgres, the operator, and a gateway's fleet that follows it. */
import { systemClock } from '../../src/clock.js';
import { loadConfig } from '../../src/config.js';
import { type EndpointSpec, endpointSpecSchema, type TrafficTarget } from '../../src/core/endpoints/endpoint.js';
import { addRevision, changeTraffic } from '../../src/core/endpoints/serve.js';
import { createEndpoint, getEndpoint } from '../../src/core/endpoints/store.js';
import type { EndpointRoute, RevisionRoute } from '../../src/core/inference/route.js';
import { RoutingTable } from '../../src/core/inference/routing-table.js';
import { artifactOf } from '../../src/core/models/model.js';
import { type ServerSpec, serverSchema } from '../../src/core/models/server.js';
import { createModel, registerVersion } from '../../src/core/models/store.js';
import type { Db } from '../../src/core/schema.js';
import { createLog } from '../../src/log.js';
import { follow } from '../../src/main/follow.js';
import { openKnative } from '../../src/main/knative.js';
import { migrate } from '../../src/platform/db/migrate.js';
import { openDatabase } from '../../src/platform/db/open.js';
import { ClusterFleet } from '../../src/platform/fleet/cluster-fleet.js';
import { INGRESS, openNamespace, SERVER_IMAGE, type TestNamespace } from './knative.js';
import { freshDatabase } from './postgres.js';
import { quietLog } from './quiet-log.js';

export interface KnativeBench {
  readonly db: Db;
  readonly databaseUrl: string;
  readonly namespace: TestNamespace;
  readonly fleet: ClusterFleet;
  /** An endpoint of one revision with all the traffic; without a server, of the runtime image. */
  endpoint(name: string, spec?: object, server?: object): Promise<void>;
  /** Another revision; answers its number. */
  revise(name: string, server?: object, spec?: object): Promise<number>;
  traffic(name: string, ...targets: TrafficTarget[]): Promise<void>;
  route(name: string): EndpointRoute;
  revision(name: string, number: number): RevisionRoute;
  /** Starts another worker's operator. */
  operator(env?: Readonly<Record<string, string>>): Promise<{ close(): Promise<void> }>;
  close(): Promise<void>;
}

const PROJECT = 'default';
/** Many fit on a machine of two processors. */
const SMALL = { cpus: 0.05, memoryMb: 96 };

export async function openKnativeBench(
  prefix: string,
  env: Readonly<Record<string, string>> = {},
  queueLimit = 1000,
): Promise<KnativeBench> {
  const log = process.env.SLUICE_TEST_LOG ? createLog({ level: 'debug', format: 'text' }) : quietLog;
  const [namespace, databaseUrl] = await Promise.all([openNamespace(prefix), freshDatabase()]);
  const { db, close: closeDatabase } = openDatabase(databaseUrl, log);
  await migrate(db);
  const fleet = new ClusterFleet({ log, queueLimit });
  const routing = new RoutingTable((id, route) => {
    if (route && !route.suspended) fleet.sync(route);
    else fleet.forget(id);
  });
  const following = await follow({ databaseUrl, db, routing, clock: systemClock, log });
  const operator = (changes: Readonly<Record<string, string>> = {}) => {
    const config = loadConfig({
      SLUICE_FLEET: 'knative',
      SLUICE_JOBS: 'processes',
      SLUICE_RUNTIME_IMAGE: SERVER_IMAGE,
      SLUICE_PODS_URL: 'http://gateway.invalid',
      SLUICE_KNATIVE_INGRESS_URL: INGRESS,
      SLUICE_KUBERNETES_NAMESPACE: namespace.name,
      KUBECONFIG: namespace.workerKubeconfig,
      ...env,
      ...changes,
    });
    return openKnative(config, { db, databaseUrl, clock: systemClock, log });
  };
  const version = async (model: string, server: object | undefined) => {
    const spec: ServerSpec | undefined = server && serverSchema.parse({ image: SERVER_IMAGE, ...server });
    // another digest is another version
    const digest: `sha256:${string}` = `sha256:${String(serial++).padStart(64, '0')}`;
    const artifact = artifactOf([{ path: 'model.onnx', digest, bytes: 1 }]);
    const { version: number } = await registerVersion(db, {
      project: PROJECT,
      model,
      artifact,
      framework: spec ? 'server' : 'onnx',
      server: spec,
      signature: { inputs: [], outputs: [] },
      metrics: {},
      lineage: { kind: 'upload', actor: 'test' },
      source: digest,
    });
    return number;
  };
  let serial = 1;
  const refresh = async (name: string) => routing.refresh(db, (await getEndpoint(db, PROJECT, name)).id);
  const bench: KnativeBench = {
    db,
    databaseUrl,
    namespace,
    fleet,
    operator,
    async endpoint(name, spec = {}, server) {
      await createModel(db, PROJECT, name);
      const parsed: EndpointSpec = endpointSpecSchema.parse({ name, model: name, placement: SMALL, ...spec });
      await createEndpoint(db, PROJECT, parsed);
      await bench.revise(name, server);
      await bench.traffic(name, { revision: 1, percent: 100 });
    },
    async revise(name, server, spec = {}) {
      const input = { version: await version(name, server), reason: 'test', ...spec };
      const number = await addRevision(db, PROJECT, name, input);
      await refresh(name);
      return number;
    },
    async traffic(name, ...targets) {
      await changeTraffic(db, PROJECT, name, { targets, actor: 'test', reason: 'test' });
      await refresh(name);
    },
    route(name) {
      const found = routing.find(PROJECT, name);
      if (!found) throw new Error(`no route of ${name}`);
      return found;
    },
    revision(name, number) {
      const found = bench.route(name).revisions.get(number);
      if (!found) throw new Error(`no revision ${number} of ${name}`);
      return found;
    },
    async close() {
      await fleet.close();
      await following.close();
      await closeDatabase();
      await namespace.close();
    },
  };
  return bench;
}
