/** The model repository extension: what is loaded here is an endpoint. */
import { suspendEndpoint } from '../../core/endpoints/serve.js';
import { warm } from '../../core/inference/warm.js';
import { AppError } from '../../errors.js';
import { requireAdmin } from './access.js';
import { askerOf } from './information.js';
import type { HeaderSource, Plane } from './plane.js';

/** Puts an endpoint into service and resolves once it answers: a replica of every revision with traffic is ready. */
export async function loadModel(plane: Plane, source: HeaderSource, name: string): Promise<void> {
  const { fleet, routing, limits } = plane.services;
  const { project } = await change(plane, source, name, false);
  const endpoint = routing.find(project, name);
  const targets = endpoint?.targets.filter((target) => target.percent > 0) ?? [];
  if (targets.length === 0) throw new AppError('not_ready', `endpoint "${name}" has no revision with traffic yet`);
  await Promise.all(targets.map(({ revision }) => warm(fleet, revision, limits.predictTimeoutMs)));
}

/** Takes an endpoint out of service: its replicas end, its requests are refused until it is loaded again. */
export async function unloadModel(plane: Plane, source: HeaderSource, name: string): Promise<void> {
  await change(plane, source, name, true);
}

async function change(plane: Plane, source: HeaderSource, name: string, suspended: boolean) {
  const { db, routing } = plane.services;
  const caller = askerOf(plane, source);
  requireAdmin(caller);
  const id = await suspendEndpoint(db, caller.project, name, { suspended, actor: caller.actor });
  // who hears that it is done may ask at once
  await routing.refresh(db, id);
  return caller;
}

/** Refuses what a load may carry in other servers and cannot here: where an endpoint's model comes from is its own. */
export function checkLoadParameters(parameters: unknown): void {
  if (parameters === undefined || parameters === null) return;
  const names = typeof parameters === 'object' ? Object.keys(parameters) : [];
  const foreign = names.filter((name) => name !== 'unload_dependents');
  if (foreign.length === 0) return;
  throw new AppError(
    'unsupported',
    `load parameter "${(foreign[0] ?? '').slice(0, 100)}" is not supported: an endpoint serves versions of its model`,
  );
}
