/** What a person does to an endpoint's revisions and traffic by hand, where no rollout does it. */
import { AppError } from '../../errors.js';
import { emit } from '../events/store.js';
import { crown } from '../rollouts/moves.js';
import { rolloutInFlight } from '../rollouts/store.js';
import type { Db } from '../schema.js';
import type { EndpointSpec, Scaling, TrafficTarget } from './endpoint.js';
import { limitReplicas } from './replica-bounds.js';
import type { RuntimeSettings } from './runtime.js';
import {
  createEndpoint,
  createEndpointIn,
  createRevision,
  endpointExists,
  getEndpoint,
  lockEndpoint,
  setSuspended,
  setTraffic,
  updateEndpoint,
} from './store.js';

/** Creates an endpoint that serves a model version from its first moment. Both, or neither. */
export async function createServingEndpoint(
  db: Db,
  project: string,
  spec: EndpointSpec,
  version: number,
  actor: string,
): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const endpointId = await createEndpointIn(tx, project, spec, 1);
    const reason = `created with version ${version}`;
    const revision = await createRevision(tx, { endpointId, version, reason });
    await setTraffic(tx, { endpointId, targets: [{ revision, percent: 100 }], actor, reason });
    await crown(tx, endpointId, revision, actor, reason);
  });
}

/** Creates an endpoint, or changes the settings of the one of this name. */
export async function putEndpoint(db: Db, project: string, spec: EndpointSpec): Promise<{ created: boolean }> {
  const exists = await endpointExists(db, project, spec.name);
  if (exists) await updateEndpoint(db, project, spec);
  else await createEndpoint(db, project, spec);
  return { created: !exists };
}

/** Adds a revision without traffic. */
export async function addRevision(
  db: Db,
  project: string,
  endpointName: string,
  input: { version: number; scaling?: Scaling | undefined; runtime?: RuntimeSettings | undefined; reason: string },
): Promise<number> {
  return db.transaction().execute(async (tx) => {
    const endpoint = await getEndpoint(tx, project, endpointName);
    return createRevision(tx, {
      endpointId: endpoint.id,
      version: input.version,
      reason: input.reason,
      ...(input.scaling ? { scaling: input.scaling } : {}),
      ...(input.runtime ? { runtime: input.runtime } : {}),
    });
  });
}

export interface HandTraffic {
  readonly targets: readonly TrafficTarget[];
  /** The generation that the change was decided on. */
  readonly generation?: number | undefined;
  readonly actor: string;
  readonly reason: string;
}

/** Sets an endpoint's traffic by hand; refused while a rollout moves it. Answers the new generation. */
export async function changeTraffic(
  db: Db,
  project: string,
  endpointName: string,
  change: HandTraffic,
): Promise<number> {
  return db.transaction().execute(async (tx) => {
    // locked first: a rollout that starts meanwhile waits for this change, or is seen here
    const endpoint = await lockEndpoint(tx, project, endpointName);
    const rollout = await rolloutInFlight(tx, endpoint.id);
    if (rollout !== undefined) {
      throw new AppError(
        'conflict',
        `rollout ${rollout} moves the traffic of "${endpointName}": pausing it does not help, abort or promote it first`,
        { details: { rollout } },
      );
    }
    const generation = await setTraffic(tx, {
      endpointId: endpoint.id,
      targets: change.targets,
      expectGeneration: change.generation,
      actor: change.actor,
      reason: change.reason,
    });
    // one that had to make room for another may have replicas again
    for (const { revision, percent } of change.targets)
      if (percent > 0) await limitReplicas(tx, endpoint.id, revision, null);
    const [winner] = change.targets.filter((target) => target.percent === 100);
    if (winner) await crown(tx, endpoint.id, winner.revision, change.actor, change.reason || 'traffic set by hand');
    return generation;
  });
}

/**
 * Takes an endpoint out of service, or puts it back: while it is out, nothing of it runs and predictions are refused. Its
 * revisions and its traffic stay as they are. Answers its id.
 */
export async function suspendEndpoint(
  db: Db,
  project: string,
  name: string,
  change: { readonly suspended: boolean; readonly actor: string },
): Promise<string> {
  return db.transaction().execute(async (tx) => {
    const endpoint = await lockEndpoint(tx, project, name);
    if (endpoint.suspended === change.suspended) return endpoint.id;
    await setSuspended(tx, endpoint.id, change.suspended);
    await emit(tx, {
      project,
      kind: change.suspended ? 'endpoint.unloaded' : 'endpoint.loaded',
      subject: `endpoint/${name}`,
      data: { endpoint: name, actor: change.actor },
    });
    return endpoint.id;
  });
}
