/** Whatever comes to any door: an answer in the words of its protocol, and everything else goes on as before. */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import type { Verification } from '../verification.js';
import { controlPort } from './control-port.js';
import { framesPort } from './frames-port.js';
import { grpcPort } from './grpc-port.js';
import { headsPort } from './heads-port.js';
import { examine, leftovers, worsened } from './health.js';
import { httpPort } from './http-port.js';
import { http2Port } from './http2-port.js';
import type { Port } from './port.js';
import { runPort } from './run.js';
import { type Stage, setStage } from './stage.js';
import { witness } from './witness.js';

const INPUTS = 250_000;
/** The part of all inputs after which memory is looked at for the first time. */
const WARM_UP = 0.1;

interface Plan {
  readonly seed: number;
  readonly inputs: number;
  /** Of each port, the first input's number. */
  readonly first: number;
  /** The one port to ask; undefined: all. */
  readonly port: string | undefined;
}

export const fuzz: Verification = {
  name: 'fuzz',
  summary:
    'damaged input at every door: complete answers, no hang, no leak (--seed N, --inputs N; --port NAME --first N to replay)',
  async run({ args }) {
    const plan = readPlan(args);
    console.error(`seed ${plan.seed}`);
    const stage = await setStage();
    const ports = portsOf(stage).filter(({ name }) => plan.port === undefined || name === plan.port);
    try {
      return await attack(stage, ports, plan);
    } finally {
      for (const port of ports) await port.close?.();
      await stage.stop();
    }
  },
};

function readPlan(args: string[]): Plan {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({ args, options: { seed: text, inputs: text, first: text, port: text } });
  const number = (value: string | undefined, otherwise: number) => (value === undefined ? otherwise : Number(value));
  return {
    seed: number(values.seed, randomInt(2 ** 31)),
    inputs: number(values.inputs, INPUTS),
    first: number(values.first, 0),
    port: values.port,
  };
}

function portsOf({ gateway: { url, key }, runtime }: Stage): Port[] {
  const port = Number(new URL(url).port);
  const headers = { authorization: `Bearer ${key}` };
  return [
    httpPort({ name: 'http', share: 0.34, url, headers, gateway: true }),
    headsPort(port, key),
    grpcPort(url, key),
    http2Port(port, key),
    framesPort(runtime.socket),
    httpPort({ name: 'runtime-http', share: 0.05, url: runtime.url, headers: {}, gateway: false }),
    controlPort(url, key),
  ];
}

async function attack(stage: Stage, ports: readonly Port[], { seed, inputs, first, port }: Plan) {
  const figures: Record<string, string | number> = { seed };
  const faults: string[] = [];
  const before = await witness(stage);
  const shareOf = (one: Port) => Math.ceil(port === undefined ? inputs * one.share : inputs);
  const warmUp = (one: Port) => (port === undefined ? Math.ceil(shareOf(one) * WARM_UP) : 0);
  for (const one of ports) faults.push(...(await runPort(one, { seed, first, count: warmUp(one) })));
  const warm = examine(stage);
  for (const one of ports) {
    const began = performance.now();
    const from = first + warmUp(one);
    faults.push(...(await runPort(one, { seed, first: from, count: shareOf(one) - warmUp(one) })));
    const seconds = (performance.now() - began) / 1000;
    const { gatewayMb } = examine(stage);
    figures[`inputs to ${one.name}`] =
      `${shareOf(one)} (the last ${shareOf(one) - warmUp(one)} in ${seconds.toFixed(1)} s; gateway then ${gatewayMb.toFixed(0)} MiB)`;
  }
  faults.push(...(await leftovers(stage)).map((line) => `still in flight: ${line}`));
  const after = examine(stage);
  faults.push(...worsened(warm, after));
  if ((await witness(stage)) !== before) faults.push('a right request has another answer than at the start');
  for (const fault of faults) console.error(fault);
  figures.inputs = ports.reduce((sum, one) => sum + shareOf(one), 0);
  for (const [what, name] of [
    ['gateway', 'gatewayMb'],
    ['model server', 'runtimeMb'],
    ['replicas', 'serversMb'],
  ] as const) {
    figures[`memory of the ${what}, MiB (warm, end)`] = `${warm[name].toFixed(0)}, ${after[name].toFixed(0)}`;
  }
  figures.faults = faults.length;
  return { ok: faults.length === 0, figures, notRun: [] };
}
