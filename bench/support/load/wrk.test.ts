import { describe, expect, it } from 'vitest';
import { parseWrk } from './wrk.js';

const PRINTED = `Running 2s test @ http://127.0.0.1:9001/v2/models/digits/infer
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.65ms    1.02ms  30.56ms   96.31%
    Req/Sec    12.06k   724.95    13.01k    85.00%
  24010 requests in 2.00s, 9.44MB read
Requests/sec:  11991.37
Transfer/sec:      4.71MB
counted {"requests":24010,"tookUs":2002500,"p50Us":2520,"p99Us":4870,"errors":3}
`;

describe('parseWrk', () => {
  it('reads what wrk.lua counted', () => {
    const { perSecond, ...rest } = parseWrk(PRINTED);
    expect(rest).toEqual({ requests: 24010, p50Ms: 2.52, p99Ms: 4.87, errors: 3 });
    expect(perSecond).toBeCloseTo(11990.01, 2);
  });

  it('says what was printed when nothing was counted', () => {
    expect(() => parseWrk('unable to connect to 127.0.0.1:1 Connection refused\n')).toThrow(/unable to connect/);
  });
});
