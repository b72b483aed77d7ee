import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'tests/**/*.test.ts', 'bench/**/*.test.ts'],
    // process tests start what is in dist/
    globalSetup: ['tests/support/build.ts'],
    pool: 'forks',
    // real processes on a shared machine: in CI a test that fails once has a second try, on a desk it does not
    retry: process.env.CI ? 1 : 0,
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
