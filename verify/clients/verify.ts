import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '../../src/errors.js';
import { type ChatServer, startChatServer } from '../../tests/support/chat-server.js';
import { type GatewayProcess, startGatewayProcess } from '../../tests/support/gateway-process.js';
import { pythonWith } from '../../tests/support/python-environment.js';
import type { Verification, VerificationResult } from '../verification.js';

const exec = promisify(execFile);
const PROGRAM_MS = 180_000;

/** A program that uses one client library and prints, as one line of JSON, which of its checks held. */
interface Client {
  readonly name: string;
  readonly requirements: readonly string[];
  readonly program: string;
}

const PROGRAMS = resolve('verify', 'clients', 'programs');
const CLIENTS: readonly Client[] = [
  {
    name: 'tritonclient http',
    requirements: ['tritonclient[http,grpc]>=2.50,<3'],
    program: resolve('tests', 'acceptance', 'programs', 'tritonclient.py'),
  },
  {
    name: 'tritonclient grpc',
    requirements: ['tritonclient[http,grpc]>=2.50,<3'],
    program: resolve(PROGRAMS, 'triton_grpc.py'),
  },
  { name: 'kserve', requirements: ['kserve>=0.15'], program: resolve(PROGRAMS, 'kserve_clients.py') },
  { name: 'openai', requirements: ['openai>=1.50'], program: resolve(PROGRAMS, 'openai_client.py') },
];

const TYPES = [
  'fp16',
  'fp32',
  'fp64',
  'bool',
  'string',
  ...['int', 'uint'].flatMap((kind) => [8, 16, 32, 64].map((bits) => kind + bits)),
];
const MODELS = ['digits', 'add', 'gather', 'divide', 'slow', ...TYPES.map((type) => `identity-${type}`)];

/** Stock clients of the field's protocols, as they come from the Python index, against one gateway. */
export const clients: Verification = {
  name: 'clients',
  summary: 'tritonclient over HTTP and gRPC, the KServe SDK and the OpenAI client, unchanged, against a gateway',
  async run() {
    const chat = await startChatServer();
    const gateway = await startGatewayProcess();
    try {
      await serveAll(gateway, chat);
      const result: VerificationResult = { ok: true, figures: {}, notRun: [] };
      return await CLIENTS.reduce(
        async (before, client) => add(await before, client, gateway),
        Promise.resolve(result),
      );
    } finally {
      await gateway.stop();
      chat.close();
    }
  },
};

async function serveAll(gateway: GatewayProcess, chat: ChatServer): Promise<void> {
  for (const model of MODELS) {
    const version = await gateway.upload(
      model,
      await readFile(resolve('tests', 'fixtures', 'models', `${model}.onnx`)),
    );
    await gateway.serve(model, model, version, { access: model === 'add' ? 'public' : 'key' });
  }
  const server = { url: chat.url, protocols: ['openai'], readyPath: '/' };
  await gateway.client.post('/api/v1/models', { json: { name: 'chat' } });
  const json = { files: [], server };
  const { body } = await gateway.client.post<{ version: number }>('/api/v1/models/chat/versions', { json });
  await gateway.serve('chat', 'chat', body.version);
}

/** What was found so far, and what this client did. */
async function add(before: VerificationResult, client: Client, gateway: GatewayProcess): Promise<VerificationResult> {
  const found = await pythonWith(client.requirements);
  if ('missing' in found) return { ...before, notRun: [...before.notRun, `${client.name}: ${found.missing}`] };
  const report = await run(found.python, client, gateway);
  const problems = Object.entries(report).filter(([, problem]) => problem !== null);
  for (const [check, problem] of problems) console.error(`${client.name}: ${check}: ${problem}`);
  const checks = Object.keys(report).length;
  return {
    ok: before.ok && problems.length === 0 && checks > 0,
    figures: { ...before.figures, [client.name]: `${checks - problems.length} of ${checks} checks` },
    notRun: before.notRun,
  };
}

async function run(
  python: string,
  { program }: Client,
  { url, key }: GatewayProcess,
): Promise<Record<string, string | null>> {
  try {
    const { stdout } = await exec(python, [program, new URL(url).host, key], {
      timeout: PROGRAM_MS,
      maxBuffer: 2 ** 24,
    });
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, string | null>;
  } catch (error) {
    return { 'the program ends well': messageOf(error) };
  }
}
