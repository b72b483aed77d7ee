import type { Clock } from '../clock.js';
import type { KeyTable } from '../core/access/store.js';
import type { Blobs } from '../core/blobs.js';
import type { Fleet, Sandbox } from '../core/fleet.js';
import type { Observations } from '../core/inference/observations.js';
import type { ResponseCaches } from '../core/inference/response-cache/response-caches.js';
import type { RoutingTable } from '../core/inference/routing-table.js';
import type { Shadows } from '../core/inference/shadow/shadows.js';
import type { Statistics } from '../core/inference/statistics.js';
import type { Enqueue } from '../core/jobs.js';
import type { PayloadLog } from '../core/payload-log/payload-log.js';
import type { PodIdentity } from '../core/pods/identity.js';
import type { Db } from '../core/schema.js';
import type { Log } from '../log.js';
import type { GatewayMetrics, PrintedMetrics } from '../metrics.js';
import type { Notifications } from './notifications.js';

export interface Limits {
  /** Largest body of a prediction or an API call. */
  readonly bodyBytes: number;
  /** Largest uploaded blob. */
  readonly uploadBytes: number;
  readonly predictTimeoutMs: number;
  readonly apiTimeoutMs: number;
}

export interface AsyncSettings {
  /** From the acceptance of an asynchronous prediction until it fails if it has not ended. */
  readonly deadlineMs: number;
  /** Most of a project that wait; more are refused. */
  readonly queueLimit: number;
  /** Whether webhooks may go to loopback and private addresses. */
  readonly webhooksToPrivate: boolean;
}

/** What the gateway's doors work with; made once by the composition root. */
export interface Services {
  readonly db: Db;
  readonly blobs: Blobs;
  readonly fleet: Fleet;
  readonly sandbox: Sandbox;
  readonly enqueue: Enqueue;
  readonly keys: KeyTable;
  readonly routing: RoutingTable;
  readonly statistics: Statistics;
  readonly observations: Observations;
  readonly metrics: GatewayMetrics;
  readonly caches: ResponseCaches;
  readonly shadows: Shadows;
  readonly payloadLog: PayloadLog;
  /** The metrics of this process, and of those that share its work. */
  printMetrics(): Promise<PrintedMetrics>;
  readonly notifications: Notifications;
  /** Absent where no pods are: then they have no API either. */
  readonly pods?: PodIdentity | undefined;
  readonly limits: Limits;
  readonly asynchronous: AsyncSettings;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether this gateway can do its work now; says what is missing. */
  readiness(): { readonly ready: boolean; readonly checks: Readonly<Record<string, string>> };
}
