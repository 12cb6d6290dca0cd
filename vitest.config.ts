// Real disks, sockets and child processes are under test: two workers, and a generous timeout, more
// so for the full sizes of `npm run prove`, which may share their machine.
import { defineConfig } from 'vitest/config';

const TIMEOUT_MS = process.env['SAYTAP_FULL'] === undefined ? 60_000 : 300_000;

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: TIMEOUT_MS,
    hookTimeout: TIMEOUT_MS,
    watch: false,
  },
});
