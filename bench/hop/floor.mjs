/**
 * What the gateway is measured against, each the least that does the job:
 *
 *     node floor.mjs server MODEL PORT…   node:http and onnxruntime-node in one process, JSON and binary tensors
 *     node floor.mjs echo PORT            node:http alone: reads the body, answers as many bytes as a prediction has
 *     node floor.mjs direct MODEL SEC     onnxruntime-node alone, one inference after the other; prints how many
 */
import http from 'node:http';

const JSON_HEADERS = { 'content-type': 'application/json' };
const [mode, ...args] = process.argv.slice(2);

if (mode === 'server') {
  const { ort, session } = await open(args[0]);
  const infer = async (body, headBytes) => {
    const request = JSON.parse(headBytes === undefined ? body : body.toString('utf8', 0, headBytes));
    const [input] = request.inputs;
    const data = headBytes === undefined ? Float32Array.from(input.data) : floats(body.subarray(headBytes));
    const results = await session.run({ [input.name]: new ort.Tensor('float32', data, input.shape) });
    return request.parameters?.binary_data_output ? binaryAnswer(results) : jsonAnswer(results);
  };
  const describe = (name, { type, dims }) => ({ name, datatype: type === 'int64' ? 'INT64' : 'FP32', shape: dims });
  const jsonAnswer = (results) => {
    const outputs = session.outputNames.map((name) => ({
      ...describe(name, results[name]),
      data: Array.from(results[name].data, Number),
    }));
    return { body: JSON.stringify({ model_name: 'digits', outputs }), headers: JSON_HEADERS };
  };
  const binaryAnswer = (results) => {
    const raws = session.outputNames.map((name) => {
      const { buffer, byteOffset, byteLength } = results[name].data;
      return Buffer.from(buffer, byteOffset, byteLength);
    });
    const outputs = session.outputNames.map((name, at) => ({
      ...describe(name, results[name]),
      parameters: { binary_data_size: raws[at].length },
    }));
    const head = Buffer.from(JSON.stringify({ model_name: 'digits', outputs }));
    const headers = { 'content-type': 'application/octet-stream', 'inference-header-content-length': head.length };
    return { body: Buffer.concat([head, ...raws]), headers };
  };
  for (const port of args.slice(1)) serve(port, infer);
} else if (mode === 'echo') {
  const body = JSON.stringify({ model_name: 'digits', outputs: 'x'.repeat(300) });
  serve(args[0], () => ({ body, headers: JSON_HEADERS }));
} else {
  const { ort, session } = await open(args[0]);
  const input = new ort.Tensor(
    'float32',
    Float32Array.from({ length: 64 }, (_, at) => at % 16),
    [1, 64],
  );
  const run = async (seconds) => {
    const until = performance.now() + seconds * 1000;
    let count = 0;
    for (; performance.now() < until; count++) await session.run({ X: input });
    return count;
  };
  await run(0.5);
  const [before, began] = [process.cpuUsage(), performance.now()];
  const count = await run(Number(args[1]));
  const { user, system } = process.cpuUsage(before);
  const seconds = (performance.now() - began) / 1000;
  console.log(JSON.stringify({ requests: count, seconds, cpuSeconds: (user + system) / 1e6 }));
  await session.release();
}

async function open(model) {
  const { default: ort } = await import('onnxruntime-node');
  return { ort, session: await ort.InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1 }) };
}

/** Numbers copied to where a Float32Array may lie. */
function floats(bytes) {
  const data = new Float32Array(bytes.length / 4);
  Buffer.from(data.buffer).set(bytes);
  return data;
}

function serve(port, answer) {
  const server = http.createServer((request, response) => {
    // whether it is ready
    if (request.method === 'GET') return response.end();
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', async () => {
      const headBytes = request.headers['inference-header-content-length'];
      const { body, headers } = await answer(
        chunks.length === 1 ? chunks[0] : Buffer.concat(chunks),
        headBytes === undefined ? undefined : Number(headBytes),
      );
      response.writeHead(200, { ...headers, 'content-length': Buffer.byteLength(body) });
      response.end(body);
    });
  });
  server.listen(Number(port), '127.0.0.1');
}
