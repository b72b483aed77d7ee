/** What is attacked: a real gateway with its model servers, two external servers, and a model server of its own. */
import { readFile } from 'node:fs/promises';
import { type ChatServer, startChatServer } from '../../tests/support/chat-server.js';
import { type GatewayProcess, startGatewayProcess } from '../../tests/support/gateway-process.js';
import {
  modelPath,
  RUNTIME_SCRIPT,
  startRuntime,
  stopRuntimes,
  type TestRuntime,
} from '../../tests/support/runtime.js';
import { CHAT, MODELS, OUTSIDE } from './questions.js';

export interface Stage {
  readonly gateway: GatewayProcess;
  readonly runtime: TestRuntime;
  stop(): Promise<void>;
}

const ONE_REPLICA = { scaling: { minReplicas: 1, maxReplicas: 1 } };

export async function setStage(): Promise<Stage> {
  const [gateway, chat] = await Promise.all([startGatewayProcess(), startChatServer()]);
  const stop = async () => {
    stopRuntimes();
    await gateway.stop();
    chat.close();
  };
  try {
    await serveAll(gateway, chat);
    const runtime = await startRuntime(['--log-level', 'error', '--allow-load']);
    for (const name of [...MODELS, OUTSIDE]) await load(runtime, name);
    return { gateway, runtime, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function serveAll(gateway: GatewayProcess, chat: ChatServer): Promise<void> {
  for (const model of MODELS) {
    const version = await gateway.upload(model, await readFile(modelPath(`${model}.onnx`)));
    await gateway.serve(model, model, version, ONE_REPLICA);
  }
  await external(gateway, CHAT, {
    url: chat.url,
    protocols: ['openai'],
    readyPath: '/health',
    modelName: 'org/chat-7b',
  });
  const runtime = ['--http', '127.0.0.1:{port}', '--model', modelPath('digits.onnx'), '--name', '{name}'];
  await external(gateway, OUTSIDE, { command: [process.execPath, RUNTIME_SCRIPT, ...runtime], protocols: ['v2'] });
}

async function external({ client, serve }: GatewayProcess, name: string, server: object): Promise<void> {
  await client.post('/api/v1/models', { json: { name } });
  const version = { json: { files: [], server } };
  const { body } = await client.post<{ version: number }>(`/api/v1/models/${name}/versions`, version);
  await serve(name, name, body.version, ONE_REPLICA);
}

async function load({ url }: TestRuntime, name: string): Promise<void> {
  const path = modelPath(`${name === OUTSIDE ? 'digits' : name}.onnx`);
  const answer = await fetch(`${url}/v2/repository/models/${name}/load`, {
    method: 'POST',
    body: JSON.stringify({ parameters: { path } }),
  });
  if (!answer.ok) throw new Error(`"${name}" was not loaded: ${await answer.text()}`);
}
