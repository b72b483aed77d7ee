/** The operator's writes. Each looks first whether it may still write; a deletion names the very object that was seen. */
import type { Log } from '../../log.js';
import type { KubernetesApi } from '../kubernetes/api.js';
import {
  type KnativeRevision,
  type KnativeService,
  MIN_SCALE,
  POD_AUTOSCALERS,
  REVISIONS,
  SERVICES,
} from './objects.js';
import type { Plan } from './plan.js';

export class Actions {
  constructor(
    private readonly api: KubernetesApi,
    private readonly signal: AbortSignal,
    private readonly log: Log,
  ) {}

  async apply(service: KnativeService): Promise<void> {
    this.signal.throwIfAborted();
    await this.api.apply<KnativeService>(SERVICES, service);
    const { template, traffic } = service.spec;
    this.log.info('a Knative Service was brought up to date', {
      service: service.metadata.name,
      template: template.metadata.name,
      traffic: traffic?.map(({ revisionName, percent, tag }) => `${revisionName} ${tag ? `#${tag}` : `${percent} %`}`),
    });
  }

  async removeService({ metadata: { name, uid } }: KnativeService): Promise<void> {
    this.signal.throwIfAborted();
    if (uid !== undefined && (await this.api.delete(SERVICES, name, { uid })))
      this.log.info('a Knative Service was removed', { service: name });
  }

  async removeRevision({ metadata: { name, uid } }: KnativeRevision): Promise<void> {
    this.signal.throwIfAborted();
    if (uid !== undefined && (await this.api.delete(REVISIONS, name, { uid })))
      this.log.info('a Knative Revision was removed', { revision: name });
  }

  async setFloor({ name, floor }: Plan['floors'][number]): Promise<void> {
    this.signal.throwIfAborted();
    await this.api.patch(POD_AUTOSCALERS, name, { metadata: { annotations: { [MIN_SCALE]: String(floor) } } });
    this.log.debug('the least replicas of a revision changed', { revision: name, floor });
  }
}
