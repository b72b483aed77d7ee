/**
 * Writes the secrets of an overlay, which are in no repository, with new random keys and passwords.
 *
 *     node deploy/knative/make-secrets.mjs small|production
 *
 * What exists already is left as it is: a database keeps the password that it was made with.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const overlay = process.argv[2];
const random = () => randomBytes(24).toString('hex');
const postgres = random();
const redis = random();
const [access, secret] = [randomBytes(8).toString('hex'), random()];

/** Overlay → file → what is in it. */
const files = {
  small: {
    'sluice.env': {
      SLUICE_ADMIN_KEY: random(),
      DATABASE_URL: `postgres://sluice:${postgres}@sluice-postgres.sluice.svc.cluster.local:5432/sluice`,
      REDIS_URL: `redis://:${redis}@sluice-redis.sluice.svc.cluster.local:6379`,
      AWS_ACCESS_KEY_ID: access,
      AWS_SECRET_ACCESS_KEY: secret,
    },
    'stores.env': {
      POSTGRES_PASSWORD: postgres,
      REDIS_PASSWORD: redis,
      ROOT_ACCESS_KEY_ID: access,
      ROOT_SECRET_ACCESS_KEY: secret,
    },
  },
  production: {
    'sluice.env': {
      SLUICE_ADMIN_KEY: random(),
      DATABASE_URL: '',
      REDIS_URL: '',
      AWS_ACCESS_KEY_ID: '',
      AWS_SECRET_ACCESS_KEY: '',
    },
  },
}[overlay];

if (files === undefined) {
  console.error(`overlay is ${JSON.stringify(overlay)}, expected small or production`);
  process.exit(2);
}
const folder = fileURLToPath(new URL(`overlays/${overlay}/`, import.meta.url));
const there = Object.keys(files).filter((name) => existsSync(folder + name));
if (there.length > 0) {
  // both files hold the same passwords: one alone would not fit
  console.error(`nothing is written: ${there.map((name) => folder + name).join(' and ')} exist already`);
  process.exit(1);
}
for (const [name, values] of Object.entries(files)) {
  const lines = Object.entries(values).map(([key, value]) => `${key}=${value}\n`);
  writeFileSync(folder + name, lines.join(''), { mode: 0o600 });
  const empty = Object.keys(values).filter((key) => values[key] === '');
  console.log(`${folder}${name}${empty.length > 0 ? `: fill in ${empty.join(', ')}` : ''}`);
}
