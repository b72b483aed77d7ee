/** How connections to Redis come back: for ever, quickly at first. Options of ioredis. */
export const RECONNECT = {
  retryStrategy: (times: number) => Math.min(2_000, 50 * 2 ** Math.min(times, 10)),
  connectTimeout: 2_000,
  keepAlive: 5_000,
};
