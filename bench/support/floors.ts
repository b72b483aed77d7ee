/** The floors of bench/hop/floor.mjs as servers: the least that could do a gateway's or a model server's work. */
import { resolve } from 'node:path';
import { freePort } from '../../src/platform/free-port.js';
import { post } from './post.js';
import { httpPrediction, rowsOf } from './predictions.js';
import { type Server, type ServerOptions, startServer } from './server.js';

export const FLOOR = resolve('bench', 'hop', 'floor.mjs');

/** `urls` has one for each port. */
export type Floor = Server & { readonly urls: readonly string[] };

type FloorOptions = Pick<ServerOptions, 'folder' | 'core' | 'cleanup'>;

/** node:http and onnxruntime-node with this model, on as many ports as asked for. */
export function startFloorServer(model: string, ports: number, options: FloorOptions): Promise<Floor> {
  return startFloor(['server', model], ports, options);
}

/** node:http alone. */
export function startFloorEcho(options: FloorOptions): Promise<Floor> {
  return startFloor(['echo'], 1, options);
}

async function startFloor(args: readonly string[], count: number, options: FloorOptions): Promise<Floor> {
  const ports = await Promise.all(Array.from({ length: count }, () => freePort()));
  const urls = ports.map((port) => `http://127.0.0.1:${port}/v2/models/digits/infer`);
  const ping = httpPrediction('json', rowsOf(1));
  const server = await startServer({
    ...options,
    name: `floor-${args[0]}`,
    command: [process.execPath, FLOOR, ...args, ...ports.map(String)],
    env: {},
    ready: async () => (await Promise.all(urls.map((url) => post(url, ping)))).every(({ status }) => status === 200),
  });
  return { ...server, urls };
}
