/** What a model server's pod is told: which model, as which its engine loads it, and where its files are. */
import { AppError } from '../../errors.js';
import { serviceName } from '../cluster-names.js';
import { loadOptions } from '../inference/load-options.js';
import { modelNameOf, type RevisionRoute } from '../inference/route.js';
import type { RoutingTable } from '../inference/routing-table.js';
import { type ArtifactFile, entryFile } from '../models/model.js';
import type { Db } from '../schema.js';
import type { ModelPod } from './identity.js';

export interface PodModel {
  /** Under which it answers. */
  readonly name: string;
  readonly version: string;
  readonly framework: string;
  /** The file or folder that its engine is pointed at, relative to the files; empty: all of them. */
  readonly entry: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly digest: string;
  readonly files: readonly ArtifactFile[];
}

/**
 * The revision that a pod serves. It is known without the database, so that pods start while that is away; only what
 * this gateway has not heard of yet is looked up.
 */
export async function revisionOfPod(db: Db, routing: RoutingTable, pod: ModelPod): Promise<RevisionRoute> {
  const known = find(routing, pod);
  if (known) return known;
  if (!routing.loaded)
    throw new AppError('not_ready', 'this gateway has not read its routing yet', { retryAfterSec: 1 });
  const rows = await db.selectFrom('endpoints').select('id').where('id', 'like', `%${pod.idEnd}`).execute();
  for (const { id } of rows) await routing.refresh(db, id);
  const found = find(routing, pod);
  if (found) return found;
  throw new AppError('not_found', `there is no revision ${pod.number} of "${pod.service}" any more`, {
    details: { service: pod.service, revision: pod.number },
  });
}

function find(routing: RoutingTable, { service, idEnd, number }: ModelPod): RevisionRoute | undefined {
  const endpoints = [...routing.all()].filter(
    ({ id, name }) => id.endsWith(idEnd) && serviceName(name, id) === service,
  );
  // two of one name on the cluster: neither may be given the other's model
  if (endpoints.length > 1)
    throw new AppError('forbidden', `more than one endpoint goes by "${service}" on the cluster`);
  return endpoints[0]?.revisions.get(number);
}

/** What the pod of a revision is told. */
export function podModel(revision: RevisionRoute): PodModel {
  const { artifact, number, framework, server } = revision;
  const entry = server ? undefined : entryFile(artifact.files);
  return {
    name: modelNameOf(revision),
    version: String(number),
    framework: entry?.framework ?? framework,
    entry: entry?.path ?? '',
    options: loadOptions(revision),
    digest: artifact.digest,
    files: artifact.files,
  };
}
