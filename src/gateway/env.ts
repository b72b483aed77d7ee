import type { HttpBindings } from '@hono/node-server';
import type { Caller } from '../core/access/key.js';

/** What a request carries through the middlewares and the routes of the control API. */
export interface GatewayEnv {
  Variables: { requestId: string; caller: Caller };
  /** Node's own request, when the answer goes over a socket. */
  Bindings: Partial<HttpBindings>;
}
