import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTokenReviewServer, type TokenReviewServer } from '../../../tests/support/token-review-server.js';

let server: TokenReviewServer;
beforeAll(async () => {
  server = await startTokenReviewServer();
});
afterAll(() => server.close());
beforeEach(() => {
  server.reviews.length = 0;
  server.failWith = undefined;
  server.audienceUnaware = false;
});

const of = { serviceAccount: 'sluice-runtime', pod: 'digits-abcdefgh-r1-deployment-7d9c5b8f6d-x2k9p' };

/** A clock that is set by hand. */
function clockAt() {
  const clock = { ms: Date.now(), now: () => clock.ms, sleep: async () => {} };
  return clock;
}

describe('a token', () => {
  it('is reviewed by the cluster, which says whose it is', async () => {
    expect(await server.identity().verify(server.issue(of))).toEqual({
      namespace: 'serving',
      serviceAccount: 'sluice-runtime',
      pod: of.pod,
      podUid: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
  });

  it('is reviewed once a minute, however many ask at once', async () => {
    const clock = clockAt();
    const [identity, token] = [server.identity(clock), server.issue(of)];
    await Promise.all(Array.from({ length: 20 }, () => identity.verify(token)));
    clock.ms += 59_000;
    await identity.verify(token);
    expect(server.reviews.length).toBe(1);
    clock.ms += 2_000;
    await identity.verify(token);
    expect(server.reviews.length).toBe(2);
  });

  it('is not believed beyond its end', async () => {
    const clock = clockAt();
    const [identity, token] = [server.identity(clock), server.issue({ ...of, seconds: 10 })];
    await identity.verify(token);
    clock.ms += 11_000;
    await expect(identity.verify(token)).rejects.toMatchObject({
      code: 'unauthenticated',
      message: expect.stringContaining('it expired at'),
    });
    expect(server.reviews.length).toBe(1);
  });

  it('that is bad is remembered for a few seconds', async () => {
    const clock = clockAt();
    const identity = server.identity(clock);
    const forged = `${server.issue(of).slice(0, -4)}AAAA`;
    for (let time = 0; time < 3; time++)
      await expect(identity.verify(forged)).rejects.toMatchObject({ code: 'unauthenticated' });
    expect(server.reviews.length).toBe(1);
    clock.ms += 6_000;
    await expect(identity.verify(forged)).rejects.toMatchObject({
      message: expect.stringContaining('invalid bearer token'),
    });
    expect(server.reviews.length).toBe(2);
  });

  it.each([
    ['is none', 'nonsense', "it is no service account's token"],
    ['holds no object', `a.${Buffer.from('null').toString('base64url')}.c`, 'its audience is undefined'],
    ['is for another audience', { ...of, audience: 'vault' }, 'its audience is ["vault"], not "sluice"'],
    ['has expired', { ...of, seconds: -1 }, 'it expired at'],
  ])('that %s is refused without a question', async (_what, given, message) => {
    const token = typeof given === 'string' ? given : server.issue(given);
    await expect(server.identity().verify(token)).rejects.toMatchObject({
      code: 'unauthenticated',
      message: expect.stringContaining(message),
    });
    expect(server.reviews).toEqual([]);
  });

  it('that is bound to no pod is refused', async () => {
    await expect(server.identity().verify(server.issue({ ...of, pod: undefined }))).rejects.toMatchObject({
      message: expect.stringContaining('bound to no pod'),
    });
  });

  it('is not believed where the cluster knows nothing of audiences', async () => {
    server.audienceUnaware = true;
    await expect(server.identity().verify(server.issue(of))).rejects.toMatchObject({
      message: expect.stringContaining('not made out for "sluice"'),
    });
  });

  it.each([403, 500])('waits while the cluster answers %i, and is asked about again', async (status) => {
    const [identity, token] = [server.identity(), server.issue(of)];
    server.failWith = status;
    await expect(identity.verify(token)).rejects.toMatchObject({ code: 'not_ready', retryAfterSec: 2 });
    server.failWith = undefined;
    expect((await identity.verify(token)).pod).toBe(of.pod);
  });
});

it('known ones are taken while the cluster is away', async () => {
  const [identity, token] = [server.identity(), server.issue(of)];
  await identity.verify(token);
  server.failWith = 503;
  expect((await identity.verify(token)).pod).toBe(of.pod);
});
