/**
 * What the gateway is measured against, each the least that does the job:
 *
 *     node floor.mjs server MODEL PORT   node:http and onnxruntime-node in one process
 *     node floor.mjs echo PORT           node:http alone: reads the body, answers as many bytes as a prediction has
 *     node floor.mjs direct MODEL SEC    onnxruntime-node alone, one inference after the other; prints how many
 */
import http from 'node:http';

const [mode, ...args] = process.argv.slice(2);

if (mode === 'server') {
  const { ort, session } = await open(args[0]);
  serve(args[1], async (body) => {
    const [input] = JSON.parse(body).inputs;
    const feeds = { [input.name]: new ort.Tensor('float32', Float32Array.from(input.data), input.shape) };
    const results = await session.run(feeds);
    const outputs = session.outputNames.map((name) => {
      const { type, dims, data } = results[name];
      return { name, datatype: type === 'int64' ? 'INT64' : 'FP32', shape: dims, data: Array.from(data, Number) };
    });
    return JSON.stringify({ model_name: 'digits', outputs });
  });
} else if (mode === 'echo') {
  const answer = JSON.stringify({ model_name: 'digits', outputs: 'x'.repeat(300) });
  serve(args[0], () => answer);
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

function serve(port, answer) {
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', async () => {
      const body = await answer(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks));
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
      response.end(body);
    });
  });
  server.listen(Number(port), '127.0.0.1', () => process.send?.({ port: server.address().port }));
  process.on('disconnect', () => process.exit(0));
}
