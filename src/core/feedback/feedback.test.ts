import { describe, expect, it } from 'vitest';
import { seeded } from '../../../tests/support/random.js';
import { type FeedbackItem, type FeedbackReader, outcomesOf } from './item.js';
import { readToken, writeToken } from './token.js';

const NOW = 1_800_000_000_000;
const token = (revision: number, requestId = 'req-1', ageSec = 10, endpoint = 'ep_1', secret = 's1') =>
  writeToken(secret, endpoint, { revision, second: NOW / 1000 - ageSec, requestId });

describe('tokens', () => {
  it('come back as what they were made from', () => {
    for (const requestId of ['a', 'x.y/z=+:', 'r'.repeat(128)]) {
      const said = { revision: 47, second: 1_800_000_000, requestId };
      expect(readToken('s', 'ep', writeToken('s', 'ep', said))).toEqual(said);
    }
  });

  it('are of one endpoint and its secret alone', () => {
    expect(readToken('s1', 'ep_1', token(2))).toBeDefined();
    expect(readToken('s2', 'ep_1', token(2))).toBeUndefined();
    expect(readToken('s1', 'ep_2', token(2))).toBeUndefined();
  });

  it('cannot be changed in any place', () => {
    const random = seeded(7);
    const good = token(2);
    for (let at = 0; at < good.length; at++) {
      const letter = String.fromCharCode(45 + Math.floor(random() * 70));
      if (letter === good[at]) continue;
      expect(readToken('s1', 'ep_1', good.slice(0, at) + letter + good.slice(at + 1))).toBeUndefined();
    }
    for (const text of ['', '.', '1.2.3', `${good}.x`, `x${good}`])
      expect(readToken('s1', 'ep_1', text)).toBeUndefined();
  });
});

describe('what a report counts', () => {
  const reader: FeedbackReader = {
    endpointId: 'ep_1',
    endpoint: 'digits',
    secret: 's1',
    lastRevision: 3,
    maxAgeSec: 60,
    trusted: true,
    nowMs: NOW,
  };
  const read = (item: FeedbackItem, more: Partial<FeedbackReader> = {}) =>
    outcomesOf([item], { ...reader, ...more }).map(({ metric, revision, value }) => [metric, revision, value]);

  it.each<[FeedbackItem, unknown]>([
    [{ token: token(2), reward: 0.25 }, [['reward', 2, 0.25]]],
    [{ revision: 3, reward: 1 }, [['reward', 3, 1]]],
    [{ revision: 1, label: 'cat', prediction: 'cat' }, [['accuracy', 1, 1]]],
    [{ revision: 1, label: 7, prediction: '7' }, [['accuracy', 1, 0]]],
    [
      { token: token(1), revision: 1, reward: 0, label: true, prediction: true },
      [
        ['reward', 1, 0],
        ['accuracy', 1, 1],
      ],
    ],
  ])('%j', (item, counted) => {
    expect(read(item)).toEqual(counted);
  });

  it.each<[string, FeedbackItem, Partial<FeedbackReader>, string]>([
    ['nothing to count', { revision: 1 }, {}, 'feedback[0] has nothing to count'],
    ['a label alone', { revision: 1, label: 1 }, {}, 'a label together with the prediction'],
    ['no revision', { requestId: 'r', reward: 1 }, {}, 'feedback[0] does not say which revision answered'],
    [
      'a revision that is not there',
      { revision: 4, reward: 1 },
      {},
      'feedback[0].revision is 4; endpoint "digits" has revisions 1 to 3',
    ],
    ['a plain revision of nobody', { revision: 1, reward: 1 }, { trusted: false }, 'from callers with a key only'],
    ['another revision than its token', { token: token(2), revision: 3, reward: 1 }, {}, 'its token is of revision 2'],
    [
      'an old token',
      { token: token(2, 'r', 61), reward: 1 },
      {},
      'feedback[0].token is 61 s old; at most 60 s are taken',
    ],
    [
      'a forged token',
      { token: token(2, 'r', 1, 'ep_1', 'x'), reward: 1 },
      {},
      'is none that an answer of endpoint "digits" had',
    ],
  ])('%s is refused', (_what, item, more, words) => {
    expect(() => read(item, more)).toThrow(words);
  });

  it('is the same once more under the same token, whatever id comes with it', () => {
    const keys = outcomesOf(
      [
        { token: token(2), id: 'a', reward: 1 },
        { token: token(2), id: 'b', reward: 1 },
      ],
      reader,
    ).map(({ key }) => key);
    expect(keys[0]).toBe(keys[1]);
    const named = outcomesOf(
      [
        { revision: 1, id: 'a', requestId: 'r', reward: 1 },
        { revision: 1, requestId: 'r', reward: 1 },
      ],
      reader,
    );
    expect(named.map(({ key }) => key)).toEqual(['id:a', 'request:r']);
  });
});
