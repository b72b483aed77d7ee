/**
 * What the gateways route by: one immutable EndpointRoute per endpoint, read from Postgres when it changes. A request
 * reads the table with two look-ups and never waits for the database, unless it would be refused.
 */
import type { Selectable } from 'kysely';
import { SCALING_DEFAULTS } from '../endpoints/endpoint.js';
import { DEFAULT_PLACEMENT } from '../endpoints/placement.js';
import { DEFAULT_RUNTIME } from '../endpoints/runtime.js';
import type { Db, Schema } from '../schema.js';
import { outputsOf, readComparedOutputs } from './outputs/compared.js';
import { DEFAULT_RESPONSE_CACHE } from './response-cache/settings.js';
import type { EndpointRoute, RevisionRoute, TargetRoute } from './route.js';

/** A name is looked up anew at most this often, however many ask for what is not there. */
const LOOK_AGAIN_MS = 100;
/** Names remembered for that. */
const LOOKS_KEPT = 1000;

export class RoutingTable {
  private readonly looks = new Map<string, { readonly at: number; readonly done: Promise<void> }>();
  private readonly byName = new Map<string, EndpointRoute>();
  private readonly byId = new Map<string, EndpointRoute>();
  private reading: Promise<void> = Promise.resolve();

  /** Whether the whole table was read at least once: before, an unknown name proves nothing. */
  loaded = false;

  /** `onChange` is told each endpoint's new route, or undefined when it is gone. */
  constructor(private readonly onChange: (endpointId: string, route: EndpointRoute | undefined) => void = () => {}) {}

  find(project: string, name: string): EndpointRoute | undefined {
    return this.byName.get(`${project}/${name}`);
  }

  /** A revision by its key. */
  revision(key: string): RevisionRoute | undefined {
    const [id = '', number = ''] = key.split('/');
    return this.byId.get(id)?.revisions.get(Number(number));
  }

  all(): IterableIterator<EndpointRoute> {
    return this.byId.values();
  }

  /** Reads every endpoint; what is gone from the database goes from the table. */
  reload(db: Db): Promise<void> {
    return this.inTurn(async () => {
      const routes = await readRoutes(db);
      const keep = new Set(routes.map((route) => route.id));
      for (const id of [...this.byId.keys()]) if (!keep.has(id)) this.put(id, undefined);
      for (const route of routes) this.put(route.id, route);
      this.loaded = true;
    });
  }

  /** Reads one endpoint again. */
  refresh(db: Db, endpointId: string): Promise<void> {
    return this.inTurn(async () => {
      const [route] = await readRoutes(db, { id: endpointId });
      this.put(endpointId, route);
    });
  }

  /**
   * Reads an endpoint that a request cannot be routed to: whoever was just told that it exists, or serves, may ask faster
   * than the news travels. Resolves at once when the name was looked up a moment ago.
   */
  lookAgain(db: Db, project: string, name: string, nowMs: number): Promise<void> {
    const key = `${project}/${name}`;
    const last = this.looks.get(key);
    if (last && nowMs - last.at < LOOK_AGAIN_MS) return last.done;
    if (this.looks.size >= LOOKS_KEPT) this.looks.clear();
    const done = this.inTurn(async () => {
      const [route] = await readRoutes(db, { project, name });
      if (route) this.put(route.id, route);
    });
    this.looks.set(key, { at: nowMs, done });
    return done;
  }

  /** One read after the other, so that an older one can never overwrite a newer one. */
  private inTurn(read: () => Promise<void>): Promise<void> {
    const turn = this.reading.then(read);
    this.reading = turn.catch(() => {});
    return turn;
  }

  private put(id: string, route: EndpointRoute | undefined): void {
    const before = this.byId.get(id);
    // a name may have passed to a newer endpoint meanwhile; that one keeps it
    if (before && this.find(before.project, before.name)?.id === id)
      this.byName.delete(`${before.project}/${before.name}`);
    if (route) {
      this.byId.set(id, route);
      this.byName.set(`${route.project}/${route.name}`, route);
    } else this.byId.delete(id);
    if (route || before) this.onChange(id, route);
  }
}

type Which = { readonly id: string } | { readonly project: string; readonly name: string };

/** The routes of one endpoint, or of all. */
async function readRoutes(db: Db, which?: Which): Promise<EndpointRoute[]> {
  // one snapshot of all tables: traffic never names a revision that was not read
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (tx) => {
      const endpoints = await tx
        .selectFrom('endpoints')
        .selectAll()
        .where('deleted_at', 'is', null)
        .$if(which !== undefined, (query) =>
          which && 'id' in which
            ? query.where('id', '=', which.id)
            : query.where('project', '=', which?.project ?? '').where('name', '=', which?.name ?? ''),
        )
        .execute();
      if (endpoints.length === 0) return [];
      const only = which === undefined ? undefined : endpoints.map((endpoint) => endpoint.id);
      const revisions = await readRevisions(tx, only);
      const compared = await readComparedOutputs(tx, only);
      return endpoints.map((endpoint) => ({
        ...routeOf(endpoint, revisions.get(endpoint.id) ?? []),
        outputs: outputsOf(endpoint.routing.outputs, compared.get(endpoint.id)),
      }));
    });
}

type Endpoint = Selectable<Schema['endpoints']>;
type RevisionRow = Awaited<ReturnType<typeof revisionQuery>>[number];

function revisionQuery(db: Db, endpointIds: readonly string[] | undefined) {
  return db
    .selectFrom('revisions as r')
    .innerJoin('endpoints as e', 'e.id', 'r.endpoint_id')
    .innerJoin('model_versions as v', (join) =>
      join
        .onRef('v.project', '=', 'e.project')
        .onRef('v.model', '=', 'r.model')
        .onRef('v.version', '=', 'r.model_version'),
    )
    .leftJoin('revision_addresses as a', (join) =>
      join.onRef('a.endpoint_id', '=', 'r.endpoint_id').onRef('a.revision', '=', 'r.number'),
    )
    .select([
      'r.endpoint_id',
      'r.number',
      'r.model_version',
      'r.artifact',
      'r.framework',
      'r.scaling',
      'r.runtime',
      'r.placement',
      'r.server',
      'r.warm_until',
      'v.signature',
      'a.url',
      'a.host',
      'a.problem',
    ])
    .where('e.deleted_at', 'is', null)
    .$if(endpointIds !== undefined, (query) => query.where('e.id', 'in', endpointIds ?? []))
    .execute();
}

async function readRevisions(db: Db, endpointIds: readonly string[] | undefined): Promise<Map<string, RevisionRow[]>> {
  const byEndpoint = new Map<string, RevisionRow[]>();
  for (const row of await revisionQuery(db, endpointIds)) {
    const known = byEndpoint.get(row.endpoint_id);
    if (known) known.push(row);
    else byEndpoint.set(row.endpoint_id, [row]);
  }
  return byEndpoint;
}

function routeOf(endpoint: Endpoint, rows: readonly RevisionRow[]): EndpointRoute {
  const revisions = new Map(
    rows.map((row): [number, RevisionRoute] => [
      row.number,
      {
        key: `${endpoint.id}/${row.number}`,
        endpointId: endpoint.id,
        endpoint: endpoint.name,
        number: row.number,
        modelVersion: row.model_version,
        artifact: row.artifact,
        framework: row.framework,
        signature: row.signature,
        // rows of before there were such settings have none
        scaling: { ...SCALING_DEFAULTS, ...row.scaling },
        runtime: { ...DEFAULT_RUNTIME, ...row.runtime },
        placement: { ...DEFAULT_PLACEMENT, ...row.placement },
        address: row.url === null ? undefined : { url: row.url, host: row.host ?? undefined },
        problem: row.problem || undefined,
        server: row.server ?? undefined,
        warmUntilMs: row.warm_until?.getTime() ?? 0,
      },
    ]),
  );
  const targets = endpoint.traffic.flatMap((target): TargetRoute[] => {
    const revision = revisions.get(target.revision);
    return revision ? [{ revision, percent: target.percent, tag: target.tag }] : [];
  });
  const responseCache = { ...DEFAULT_RESPONSE_CACHE, ...endpoint.response_cache };
  return {
    id: endpoint.id,
    project: endpoint.project,
    name: endpoint.name,
    access: endpoint.access,
    stickyHeader: endpoint.routing.stickyHeader,
    suspended: endpoint.suspended,
    payloadLog: endpoint.payload_log ?? undefined,
    responseCache: responseCache.enabled ? responseCache : undefined,
    generation: endpoint.generation,
    targets,
    revisions,
  };
}
