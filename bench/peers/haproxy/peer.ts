import { PROXY_CASES } from '../cases.js';
import type { Peer } from '../peer.js';
import { installedVersion, type ProxyPorts, startProxy } from '../proxied-floor.js';

export const haproxy: Peer = {
  name: 'haproxy',
  kind: 'proxy',
  about: 'HAProxy in front of floor-node, one thread, http-reuse always, no log',
  cases: PROXY_CASES,
  async install() {
    return {
      versions: installedVersion('haproxy', '-v'),
      start: (options) =>
        startProxy(options, {
          name: 'haproxy',
          configuration,
          command: (file) => ['haproxy', '-f', file, '-db'],
        }),
    };
  },
};

function configuration({ port, stable, canary }: ProxyPorts): string {
  return `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 1s
  timeout client 30s
  timeout server 30s
  option http-keep-alive
  http-reuse always
frontend in
  bind 127.0.0.1:${port}
  use_backend canary if { rand(100) lt 10 }
  default_backend stable
backend stable
  server one 127.0.0.1:${stable}
backend canary
  server two 127.0.0.1:${canary}
`;
}
