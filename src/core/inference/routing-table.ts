/**
 * What the gateways route by: one immutable EndpointRoute per endpoint, read from Postgres when it changes. A request
 * reads the table with two look-ups and never waits for the database, unless it would be refused.
 */
import { type Selectable, sql } from 'kysely';
import { SCALING_DEFAULTS } from '../endpoints/endpoint.js';
import { DEFAULT_PLACEMENT } from '../endpoints/placement.js';
import { DEFAULT_RUNTIME } from '../endpoints/runtime.js';
import type { Db, Schema } from '../schema.js';
import { outputsOf, readComparedOutputs } from './outputs/compared.js';
import { fallbackOf, RESILIENCE_DEFAULTS } from './resilience.js';
import { DEFAULT_RESPONSE_CACHE } from './response-cache/settings.js';
import type { EndpointRoute, RevisionRoute, ShadowRoute, TargetRoute } from './route.js';
import { compileChoice } from './routing/choice.js';
import { DEFAULT_SHADOW } from './shadow/settings.js';

/** A name is looked up anew at most this often, however many ask for what is not there. */
const LOOK_AGAIN_MS = 100;
/** Names remembered for that. */
const LOOKS_KEPT = 1000;

/** Endpoints that a full read compares at once; changes that are heard of meanwhile are read in between. */
const PAGE = 500;

/** The state of an endpoint's rows: equal marks mean that nothing changed. */
type Mark = string;

interface Kept {
  readonly route: EndpointRoute;
  readonly mark: Mark;
}

export class RoutingTable {
  private readonly looks = new Map<string, { readonly at: number; readonly done: Promise<void> }>();
  private readonly byName = new Map<string, EndpointRoute>();
  private readonly byId = new Map<string, Kept>();
  private reading: Promise<void> = Promise.resolve();
  /** The read that has not begun: whoever wants an endpoint read joins it. */
  private next: { readonly ids: Set<string>; readonly done: Promise<void> } | undefined;

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
    return this.byId.get(id)?.route.revisions.get(Number(number));
  }

  *all(): IterableIterator<EndpointRoute> {
    for (const { route } of this.byId.values()) yield route;
  }

  /**
   * Compares every endpoint with the database, a page at a time, and reads those that differ; what is gone from the
   * database goes from the table.
   */
  async reload(db: Db): Promise<void> {
    // one that is made meanwhile is heard of, and may stand before the page that is read
    const gone = new Set(this.byId.keys());
    for (let after: string | undefined = ''; after !== undefined; ) {
      const from: string = after;
      after = await this.inTurn(async () => {
        const marks = await readMarks(db, from);
        for (const { id } of marks) gone.delete(id);
        const changed = marks.filter(({ id, mark }) => this.byId.get(id)?.mark !== mark);
        if (changed.length > 0)
          await this.read(
            db,
            changed.map(({ id }) => id),
          );
        return marks.length < PAGE ? undefined : marks.at(-1)?.id;
      });
    }
    for (const id of gone) this.put(id, undefined);
    this.loaded = true;
  }

  /** Reads one endpoint again. What is asked while a read is under way is read after it, all at once. */
  refresh(db: Db, endpointId: string): Promise<void> {
    if (!this.next) {
      const ids = new Set<string>();
      const done = this.inTurn(() => {
        this.next = undefined;
        return this.read(db, [...ids]);
      });
      this.next = { ids, done };
    }
    this.next.ids.add(endpointId);
    return this.next.done;
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
      for (const kept of await readRoutes(db, { project, name })) this.put(kept.route.id, kept);
    });
    this.looks.set(key, { at: nowMs, done });
    return done;
  }

  private async read(db: Db, ids: readonly string[]): Promise<void> {
    const found = new Map((await readRoutes(db, { ids })).map((kept) => [kept.route.id, kept]));
    for (const id of ids) this.put(id, found.get(id));
  }

  /** One read after the other, so that an older one can never overwrite a newer one. */
  private inTurn<T>(read: () => Promise<T>): Promise<T> {
    const turn = this.reading.then(read);
    this.reading = turn.then(
      () => {},
      () => {},
    );
    return turn;
  }

  private put(id: string, kept: Kept | undefined): void {
    const before = this.byId.get(id)?.route;
    // a name may have passed to a newer endpoint meanwhile; that one keeps it
    if (before && this.find(before.project, before.name)?.id === id)
      this.byName.delete(`${before.project}/${before.name}`);
    if (kept) {
      const { route } = kept;
      this.byId.set(id, kept);
      this.byName.set(`${route.project}/${route.name}`, route);
    } else this.byId.delete(id);
    if (kept || before) this.onChange(id, kept?.route);
  }
}

/**
 * Which version of its rows each endpoint has, from an id on: Postgres names, in xmin, the transaction that wrote a row.
 * A model version is never changed.
 */
async function readMarks(db: Db, after: string): Promise<readonly { readonly id: string; readonly mark: Mark }[]> {
  return db
    .selectFrom('endpoints as e')
    .select(['e.id', markOf])
    .where('e.deleted_at', 'is', null)
    .where('e.id', '>', after)
    .orderBy('e.id')
    .limit(PAGE)
    .execute();
}

/** For a query of endpoints as `e`. */
const markOf = sql<Mark>`e.xmin::text || coalesce((
  select string_agg(' ' || r.xmin::text || coalesce('/' || a.xmin::text, ''), '' order by r.number)
  from revisions r
  left join revision_addresses a on a.endpoint_id = r.endpoint_id and a.revision = r.number
  where r.endpoint_id = e.id
), '')`.as('mark');

type Which = { readonly ids: readonly string[] } | { readonly project: string; readonly name: string };

/** The routes of endpoints, each with the mark of what it was made from. */
async function readRoutes(db: Db, which: Which): Promise<Kept[]> {
  // one snapshot of all tables: traffic never names a revision that was not read
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (tx) => {
      const query = tx.selectFrom('endpoints as e').selectAll('e').select(markOf).where('e.deleted_at', 'is', null);
      const endpoints = await ('ids' in which
        ? query.where('e.id', '=', sql<string>`any(${which.ids})`)
        : query.where('e.project', '=', which.project).where('e.name', '=', which.name)
      ).execute();
      if (endpoints.length === 0) return [];
      const ids = endpoints.map((endpoint) => endpoint.id);
      const revisions = await readRevisions(tx, ids);
      const compared = await readComparedOutputs(tx, ids);
      return endpoints.map(({ mark, ...endpoint }) => ({
        mark,
        route: {
          ...routeOf(endpoint, revisions.get(endpoint.id) ?? []),
          outputs: outputsOf(endpoint.routing.outputs, compared.get(endpoint.id)),
        },
      }));
    });
}

type Endpoint = Selectable<Schema['endpoints']>;
type RevisionRow = Awaited<ReturnType<typeof revisionQuery>>[number];

function revisionQuery(db: Db, endpointIds: readonly string[]) {
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
      'r.warm_replicas',
      'r.replica_limit',
      'v.signature',
      'a.url',
      'a.host',
      'a.problem',
    ])
    .where('e.id', '=', sql<string>`any(${endpointIds})`)
    .execute();
}

async function readRevisions(db: Db, endpointIds: readonly string[]): Promise<Map<string, RevisionRow[]>> {
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
        warmReplicas: row.warm_replicas,
        replicaLimit: row.replica_limit ?? undefined,
        resilience: endpoint.routing.resilience,
      },
    ]),
  );
  const targets = endpoint.traffic.flatMap((target): TargetRoute[] => {
    const revision = revisions.get(target.revision);
    const { percent, tag, shadowPercent } = target;
    return revision ? [{ revision, percent, tag, ...(shadowPercent ? { shadowPercent } : {}) }] : [];
  });
  const responseCache = { ...DEFAULT_RESPONSE_CACHE, ...endpoint.response_cache };
  return {
    id: endpoint.id,
    project: endpoint.project,
    name: endpoint.name,
    access: endpoint.access,
    suspended: endpoint.suspended,
    payloadLog: endpoint.payload_log ?? undefined,
    responseCache: responseCache.enabled ? responseCache : undefined,
    shadow: shadowOf(endpoint, targets),
    feedback: endpoint.routing.feedback?.enabled ? { secret: endpoint.feedback_secret } : undefined,
    fallback: fallbackOf(endpoint.routing.resilience ?? RESILIENCE_DEFAULTS, targets, revisions),
    generation: endpoint.generation,
    targets,
    revisions,
    ...compileChoice(endpoint.routing, { project: endpoint.project, targets, revisions }),
  };
}

function shadowOf({ routing }: Endpoint, targets: readonly TargetRoute[]): ShadowRoute | undefined {
  const shadows = targets.flatMap(({ revision, shadowPercent = 0 }) =>
    shadowPercent > 0 ? [{ revision, shadowPercent }] : [],
  );
  return shadows.length === 0 ? undefined : { settings: { ...DEFAULT_SHADOW, ...routing.shadow }, targets: shadows };
}
