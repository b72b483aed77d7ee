import { connect } from 'node:http2';
import { describe, expect, it } from 'vitest';
import { listen } from '../../../tests/support/grpc-server.js';
import { seeded } from '../../../tests/support/random.js';
import { Http2Connection } from './connection.js';
import { HpackDecoder } from './hpack-decoder.js';
import { encodeHeaders } from './hpack-encoder.js';
import { huffmanText } from './huffman.js';
import { DEFAULT_LIMITS } from './limits.js';

const decodeHex = (decoder: HpackDecoder, hex: string) => {
  const bytes = Buffer.from(hex.replace(/\s/g, ''), 'hex');
  return decoder.decode(bytes, 0, bytes.length).fields.map(({ name, value }) => `${name}: ${value}`);
};

describe('header blocks of RFC 7541, appendix C', () => {
  const request = [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'];
  const third = [
    ':method: GET',
    ':scheme: https',
    ':path: /index.html',
    ':authority: www.example.com',
    'custom-key: custom-value',
  ];
  it.each([
    [
      'C.3, without Huffman',
      '828684410f7777772e6578616d706c652e636f6d',
      '828684be58086e6f2d6361636865',
      '828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565',
    ],
    [
      'C.4, with Huffman',
      '828684418cf1e3c2e5f23a6ba0ab90f4ff',
      '828684be5886a8eb10649cbf',
      '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
    ],
  ])('%s', (_name, first, second, last) => {
    const decoder = new HpackDecoder(4096);
    expect(decodeHex(decoder, first)).toEqual(request);
    expect(decodeHex(decoder, second)).toEqual([...request, 'cache-control: no-cache']);
    expect(decodeHex(decoder, last)).toEqual(third);
  });

  it('C.2, each kind of literal', () => {
    const decoder = new HpackDecoder(4096);
    expect(decodeHex(decoder, '400a637573746f6d2d6b65790d637573746f6d2d686561646572')).toEqual([
      'custom-key: custom-header',
    ]);
    expect(decodeHex(decoder, '040c2f73616d706c652f70617468')).toEqual([':path: /sample/path']);
    expect(decodeHex(decoder, '100870617373776f726406736563726574')).toEqual(['password: secret']);
    expect(decodeHex(decoder, 'be')).toEqual(['custom-key: custom-header']);
  });
});

describe('the dynamic table', () => {
  it('drops the oldest when it is full, and all for a field larger than itself', () => {
    const decoder = new HpackDecoder(100_000);
    const field = (name: string, bytes: number) => insertion(name, 'v'.repeat(bytes));
    // each of these takes half of the table
    decode(decoder, field('a', 2015));
    decode(decoder, field('b', 2015));
    expect(names(decode(decoder, Buffer.of(0x80 | 62, 0x80 | 63)))).toEqual(['b', 'a']);
    decode(decoder, field('c', 2015));
    expect(names(decode(decoder, Buffer.of(0x80 | 62, 0x80 | 63)))).toEqual(['c', 'b']);
    decode(decoder, field('d', 5000));
    expect(() => decode(decoder, Buffer.of(0x80 | 62))).toThrow('index 62');
  });

  it('shrinks when it is told to, at the beginning of a block only', () => {
    const decoder = new HpackDecoder(4096);
    decode(decoder, insertion('a', '1'));
    expect(names(decode(decoder, Buffer.of(0x20, 0x82)))).toEqual([':method']);
    expect(() => decode(decoder, Buffer.of(0x80 | 62))).toThrow('index 62');
    expect(() => decode(new HpackDecoder(4096), Buffer.of(0x82, 0x20))).toThrow('within a block');
  });
});

describe('a list larger than its bound', () => {
  it('comes cut, and the table stays right', () => {
    const decoder = new HpackDecoder(200);
    decode(decoder, insertion('bomb', 'x'.repeat(150)));
    const { fields, complete } = decode(
      decoder,
      Buffer.concat([Buffer.alloc(10_000, 0x80 | 62), insertion('after', '1')]),
    );
    expect([fields.length, complete]).toEqual([1, false]);
    expect(names(decode(decoder, Buffer.of(0x80 | 62)))).toEqual(['after']);
  });
});

describe('a malformed block', () => {
  it.each([
    ['index 0', '80', 'index 0'],
    ['an index that is in no table', 'be', 'index 62'],
    ['a number without end', 'ffffffffffffffffffff', 'a number of'],
    ['a number that is cut short', 'ff80', 'cut short'],
    ['a string longer than the block', '000561', 'cut short'],
    ['a name without a value', '000161', 'missing'],
    ['a table larger than allowed', '3fe21f', 'at most 4096'],
    ['Huffman padding of more than 7 bits', '000161 821fff', 'ends within a code'],
    ['Huffman padding of zeroes', '000161 8110', 'ends within a code'],
    ['the end-of-string symbol', '000161 84 ffffffff', 'end-of-string'],
  ])('%s', (_what, hex, message) => {
    expect(() => decodeHex(new HpackDecoder(4096), hex)).toThrow(message);
  });

  it('only ever throws its own error for random bytes', () => {
    const random = seeded(7);
    for (let round = 0; round < 3000; round++) {
      const bytes = Buffer.from(Array.from({ length: Math.floor(random() * 40) }, () => Math.floor(random() * 256)));
      try {
        new HpackDecoder(4096).decode(bytes, 0, bytes.length);
      } catch (error) {
        expect((error as Error).name).toBe('Http2Error');
      }
    }
  });
});

describe('what is written', () => {
  it('is read again, whatever its length', () => {
    const fields: [string, string][] = [
      [':status', '200'],
      ['content-type', 'application/grpc'],
      ['x-empty', ''],
      ['age', ''],
      ['grpc-message', 'x'.repeat(126)],
      ['x-longer', 'y'.repeat(127)],
      ['n'.repeat(300), 'z'.repeat(70_000)],
    ];
    const block = encodeHeaders(fields);
    expect(
      new HpackDecoder(200_000).decode(block, 0, block.length).fields.map(({ name, value }) => [name, value]),
    ).toEqual(fields);
  });

  it('is read by another implementation, and its Huffman code by us', async () => {
    const random = seeded(11);
    const values = Array.from({ length: 200 }, () =>
      String.fromCharCode(
        ...Array.from({ length: 1 + Math.floor(random() * 60) }, () => 33 + Math.floor(random() * 94)),
      ),
    );
    const port = await listen((socket) => {
      new Http2Connection(socket, {
        limits: { ...DEFAULT_LIMITS, maxHeaderListBytes: 1_000_000 },
        onFault: () => {},
        onStream: (stream) => {
          const again = stream.head.fields
            .filter(({ pseudo }) => !pseudo)
            .map(({ name, value }) => [name, value] as const);
          stream.finish(encodeHeaders([[':status', '200'], ...again]));
          return { data() {}, writable() {}, overdue() {}, closed() {} };
        },
      });
    });
    const client = connect(`http://127.0.0.1:${port}`, { settings: { maxHeaderListSize: 1_000_000 } });
    for (let round = 0; round < 3; round++) {
      const sent = Object.fromEntries(values.map((value, at) => [`x-${at % 100}`, value]));
      const stream = client.request({ ':path': '/', ...sent });
      stream.resume();
      const got = await new Promise<Record<string, unknown>>((resolve, reject) => {
        stream.on('response', resolve);
        stream.on('error', reject);
      });
      expect(got).toMatchObject(sent);
    }
    client.close();
  });
});

it('Huffman code of every byte', () => {
  // symbols 0x00 to 0x02 and 0xff as RFC 7541 lists them
  expect(huffmanText(Buffer.from([0xff, 0xc7]), 0, 2)).toBe('\0');
  expect(huffmanText(Buffer.from([0xff, 0xff, 0xb1]), 0, 3)).toBe('\x01');
  expect(huffmanText(Buffer.from([0xff, 0xff, 0xfe, 0x2f]), 0, 4)).toBe('\x02');
  expect(huffmanText(Buffer.from([0xff, 0xff, 0xfb, 0xbf]), 0, 4)).toBe('\xff');
});

function decode(decoder: HpackDecoder, bytes: Buffer) {
  return decoder.decode(bytes, 0, bytes.length);
}

function names({ fields }: { fields: readonly { name: string }[] }): string[] {
  return fields.map(({ name }) => name);
}

/** A literal that enters the table. */
function insertion(name: string, value: string): Buffer {
  const literal = encodeHeaders([[name, value]]);
  literal[0] = 0x40;
  return literal;
}
