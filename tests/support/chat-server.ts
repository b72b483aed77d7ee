/** A server of the OpenAI API that says back what it is asked, word by word, as slowly as it is told. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ChatServer {
  readonly url: string;
  /** Bodies of the calls so far. */
  readonly asked: readonly { readonly path: string; readonly body: Readonly<Record<string, unknown>> }[];
  /** Answers whose client went away before their end. */
  readonly abandoned: () => number;
  close(): void;
}

export async function startChatServer(): Promise<ChatServer> {
  const asked: { path: string; body: Record<string, unknown> }[] = [];
  let abandoned = 0;
  const server = createServer((request, response) => {
    void answer(request, response).catch(() => response.destroy());
  });
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === 'GET') {
      response.end('{}');
      return;
    }
    let text = '';
    for await (const chunk of request) text += chunk;
    const body = JSON.parse(text) as Record<string, unknown>;
    asked.push({ path: request.url ?? '', body });
    if (body.fail !== undefined) {
      response.writeHead(400, { 'content-type': 'application/json' });
      response.end('{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}');
      return;
    }
    const messages = body.messages as { content: string }[] | undefined;
    const words = (messages?.at(-1)?.content ?? String(body.input ?? body.prompt ?? '')).split(' ');
    if (body.stream !== true) {
      response.setHeader('content-type', 'application/json');
      const message = { role: 'assistant', content: words.join(' ') };
      response.end(
        JSON.stringify({ id: '1', object: 'chat.completion', model: body.model, choices: [{ index: 0, message }] }),
      );
      return;
    }
    response.on('close', () => {
      if (!response.writableEnded) abandoned++;
    });
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const word of words) {
      const choices = [{ index: 0, delta: { content: `${word} ` } }];
      response.write(
        `data: ${JSON.stringify({ id: '1', object: 'chat.completion.chunk', model: body.model, choices })}\n\n`,
      );
      // "wait" is never followed by anything
      if (word === 'wait') return;
      await new Promise((resolve) => setImmediate(resolve));
    }
    response.end('data: [DONE]\n\n');
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    abandoned: () => abandoned,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
