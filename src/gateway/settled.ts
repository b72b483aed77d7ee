import { messageOf } from '../errors.js';
import type { Services } from './services.js';

/**
 * Waits until a change of an endpoint is in force at this gateway, so that who is told of it can rely on it here; the
 * other gateways hear of it as ever. A database that is away again does not take the change back.
 */
export async function settled({ routing, db, log }: Services, project: string, endpoint: string): Promise<void> {
  const known = routing.find(project, endpoint);
  if (!known) return;
  await routing
    .refresh(db, known.id)
    .catch((error) => log.warn('a change is not in force here yet', { endpoint, error: messageOf(error) }));
}
