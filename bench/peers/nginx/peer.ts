import { PROXY_CASES } from '../cases.js';
import type { Peer } from '../peer.js';
import { installedVersion, type ProxyPorts, startProxy } from '../proxied-floor.js';

export const nginx: Peer = {
  name: 'nginx',
  kind: 'proxy',
  about:
    'nginx in front of floor-node, one worker process, split_clients, kept connections to the backends, no access log',
  cases: PROXY_CASES,
  async install() {
    return {
      versions: installedVersion('nginx', '-v'),
      start: (options) =>
        startProxy(options, {
          name: 'nginx',
          configuration,
          command: (file, { folder }) => ['nginx', '-c', file, '-p', folder, '-e', `${folder}/error.log`],
        }),
    };
  },
};

function configuration({ port, stable, canary, folder }: ProxyPorts): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const upstream = (name: string, number: number) =>
    `upstream ${name} { server 127.0.0.1:${number}; keepalive 256; keepalive_requests 1000000000; }`;
  return `daemon off;
${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes 1;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000000;
  # bodies stay in memory
  client_body_buffer_size 256k;
  proxy_buffers 16 32k;
  ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join('\n  ')}
  ${upstream('stable', stable)}
  ${upstream('canary', canary)}
  split_clients "$request_id" $backend { 10% canary; * stable; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://$backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
    }
  }
}
`;
}
