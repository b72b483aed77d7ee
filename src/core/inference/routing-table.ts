/**
 * What the gateways route by: one immutable EndpointRoute per endpoint, read from Postgres when it changes. A request
 * reads the table with two look-ups and never waits for the database.
 */
import type { Db } from '../schema.js';
import type { EndpointRoute, RevisionRoute, TargetRoute } from './route.js';

export class RoutingTable {
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
      const [route] = await readRoutes(db, endpointId);
      this.put(endpointId, route);
    });
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

async function readRoutes(db: Db, endpointId?: string): Promise<EndpointRoute[]> {
  // one snapshot of both tables: traffic never names a revision that was not read
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (tx) => {
      const endpoints = await tx
        .selectFrom('endpoints')
        .selectAll()
        .where('deleted_at', 'is', null)
        .$if(endpointId !== undefined, (query) => query.where('id', '=', endpointId as string))
        .execute();
      if (endpoints.length === 0) return [];
      const revisions = await tx
        .selectFrom('revisions as r')
        .innerJoin('endpoints as e', 'e.id', 'r.endpoint_id')
        .innerJoin('model_versions as v', (join) =>
          join
            .onRef('v.project', '=', 'e.project')
            .onRef('v.model', '=', 'r.model')
            .onRef('v.version', '=', 'r.model_version'),
        )
        .select([
          'r.endpoint_id',
          'r.number',
          'r.model_version',
          'r.artifact',
          'r.framework',
          'r.scaling',
          'r.warm_until',
          'v.signature',
        ])
        .where('e.deleted_at', 'is', null)
        .$if(endpointId !== undefined, (query) => query.where('e.id', '=', endpointId as string))
        .execute();
      return endpoints.map((endpoint): EndpointRoute => {
        const routes = new Map<number, RevisionRoute>();
        for (const row of revisions) {
          if (row.endpoint_id !== endpoint.id) continue;
          routes.set(row.number, {
            key: `${endpoint.id}/${row.number}`,
            endpointId: endpoint.id,
            endpoint: endpoint.name,
            number: row.number,
            modelVersion: row.model_version,
            artifact: row.artifact,
            framework: row.framework,
            signature: row.signature,
            scaling: row.scaling,
            warmUntilMs: row.warm_until?.getTime() ?? 0,
          });
        }
        const targets = endpoint.traffic.flatMap((target): TargetRoute[] => {
          const revision = routes.get(target.revision);
          return revision ? [{ revision, percent: target.percent, tag: target.tag }] : [];
        });
        return {
          id: endpoint.id,
          project: endpoint.project,
          name: endpoint.name,
          access: endpoint.access,
          stickyHeader: endpoint.routing.stickyHeader,
          generation: endpoint.generation,
          targets,
          revisions: routes,
        };
      });
    });
}
