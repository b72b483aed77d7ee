/**
 * A small model server for tests of clusters: speaks of the protocol what they need, and does on request what servers do
 * when they fail. START_MS: when it is ready. FAIL: words that it ends with. EAT_MB: memory that it takes.
 */
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const { PORT = '8080', START_MS = '0', FAIL, EAT_MB = '0', K_REVISION = '', HOSTNAME = '' } = process.env;
if (FAIL) {
  console.error('loading the model');
  console.error(FAIL);
  process.exit(3);
}
const eaten = [];
for (let mb = 0; mb < Number(EAT_MB); mb += 16) eaten.push(Buffer.alloc(16 * 2 ** 20, 1));
const readyAt = Date.now() + Number(START_MS);
let busy = 0;
let most = 0;

const server = createServer(async (request, response) => {
  const answer = (status, body, headers = {}) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(body));
  };
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const path = request.url ?? '/';
  if (path === '/v2/health/ready') return answer(Date.now() >= readyAt ? 200 : 503, {});
  if (request.method !== 'POST' || !path.endsWith('/infer'))
    return answer(404, { error: `there is no ${path}` }, { 'sluice-error-code': 'not_found' });
  const asked = JSON.parse(Buffer.concat(chunks).toString('utf8') || '{}');
  const { sleepMs = 0, status = 200 } = asked.parameters ?? {};
  most = Math.max(most, ++busy);
  await sleep(sleepMs);
  busy--;
  if (status !== 200) return answer(status, { error: 'as it was asked to' }, { 'sluice-error-code': 'internal' });
  return answer(200, { model_name: 'model', outputs: [], parameters: { revision: K_REVISION, pod: HOSTNAME, most } });
});
server.listen(Number(PORT), '0.0.0.0');
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
