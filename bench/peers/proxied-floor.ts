/** Proxies: each stands in front of two ports of one floor-node and sends 90 % to the first, 10 % to the second. */
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../../src/errors.js';
import { freePort } from '../../src/platform/free-port.js';
import { startFloorServer } from '../support/floors.js';
import type { RunningPeer, StartOptions } from './peer.js';
import { type HttpPeerSpec, startHttpPeer } from './python.js';

/** What a proxy's configuration is made of. */
export interface ProxyPorts {
  readonly port: number;
  /** Takes 90 %. */
  readonly stable: number;
  /** Takes 10 %. */
  readonly canary: number;
  /** The proxy's own folder. */
  readonly folder: string;
}

export interface ProxySpec {
  readonly name: string;
  configuration(ports: ProxyPorts): string;
  /** `file` holds the configuration. */
  command(file: string, ports: ProxyPorts): HttpPeerSpec['command'];
}

/** The installed program's version as it prints it; `unsupported` where there is none. */
export function installedVersion(program: string, option: string): string {
  const { error, stdout, stderr } = spawnSync(program, [option], { encoding: 'utf8' });
  if (error) throw new AppError('unsupported', `${program} is not installed`);
  return `${stdout}${stderr}`.trim().split('\n', 1)[0] ?? '';
}

export async function startProxy(options: StartOptions, spec: ProxySpec): Promise<RunningPeer> {
  const floor = await startFloorServer(options.model, 2, options);
  const [stable = 0, canary = 0] = floor.urls.map((url) => Number(new URL(url).port));
  const ports = { port: await freePort(), stable, canary, folder: options.folder };
  const file = join(options.folder, `${spec.name}.conf`);
  await writeFile(file, spec.configuration(ports));
  const command = spec.command(file, ports);
  const proxy = await startHttpPeer(options, { name: spec.name, command, port: ports.port });
  const stop = async () => {
    await proxy.stop();
    await floor.stop();
  };
  return { ...proxy, backendPids: floor.pids, stop };
}
