import { describe, expect, it } from 'vitest';
import { seeded } from '../../../tests/support/random.js';
import { AppError } from '../../errors.js';
import { readMessage, type Schema, writeMessage } from '../protobuf/schema.js';
import * as messages from './messages.js';

describe('messages', () => {
  it('come back as they were written', () => {
    const statistics = {
      model_stats: [
        {
          name: 'm',
          version: '1',
          last_inference: 1_700_000_000_000,
          inference_count: 2 ** 50,
          execution_count: 0,
          inference_stats: { success: { count: 1, ns: 2 } },
          batch_stats: [{ batch_size: 4 }, { batch_size: 8, compute_infer: { count: 9, ns: 10 } }],
        },
        { name: 'n' },
      ],
    };
    const read = readMessage(
      messages.MODEL_STATISTICS_RESPONSE,
      writeMessage(messages.MODEL_STATISTICS_RESPONSE, statistics),
    );
    expect(read).toMatchObject(statistics);
    expect(read.model_stats[1]?.inference_stats.cache_hit).toEqual({ count: 0, ns: 0 });
  });

  it('tell false and empty from absent where that matters', () => {
    const settings = { a: { bool_param: false }, b: { string_param: '' }, c: {}, ['__proto__']: { uint32_param: 0 } };
    const read = readMessage(messages.LOG_SETTINGS, writeMessage(messages.LOG_SETTINGS, { settings }));
    expect(Object.entries(read.settings)).toEqual([
      ['a', { bool_param: false }],
      ['b', { string_param: '' }],
      ['c', {}],
      ['__proto__', { uint32_param: 0 }],
    ]);
  });

  it('are empty where all is default', () => {
    expect(writeMessage(messages.READY_RESPONSE, { ready: false }).length).toBe(0);
    expect(readMessage(messages.MODEL_METADATA_RESPONSE, Buffer.alloc(0))).toEqual({
      name: '',
      versions: [],
      platform: '',
      inputs: [],
      outputs: [],
    });
  });

  it('share nothing between two readings', () => {
    const bytes = writeMessage(messages.SERVER_METADATA_RESPONSE, { extensions: ['a'] });
    readMessage(messages.SERVER_METADATA_RESPONSE, bytes);
    expect(readMessage(messages.SERVER_METADATA_RESPONSE, bytes).extensions).toEqual(['a']);
    expect(readMessage(messages.SERVER_METADATA_RESPONSE, Buffer.alloc(0)).extensions).toEqual([]);
  });

  it('only ever give an error of ours for random bytes', () => {
    const random = seeded(9);
    const schemas = Object.entries(messages).filter(([name]) => /_(REQUEST|RESPONSE|SETTINGS)$/.test(name));
    for (let round = 0; round < 3000; round++) {
      const bytes = Buffer.from(
        Array.from(
          { length: Math.floor(random() * 30) },
          () => Math.floor(random() * 256) & (random() < 0.5 ? 0x1f : 0xff),
        ),
      );
      for (const [, schema] of schemas) {
        try {
          readMessage(schema as Schema, bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
        }
      }
    }
  });
});
