import { Migrator } from 'kysely';
import type { Db } from '../../core/schema.js';
import { AppError, messageOf } from '../../errors.js';
import * as foundation from './migrations/0001-foundation.js';
import * as dataPlane from './migrations/0002-data-plane.js';
import * as clusters from './migrations/0003-clusters.js';
import * as rollouts from './migrations/0004-rollouts.js';
import * as feedback from './migrations/0005-feedback.js';
import * as analysis from './migrations/0006-analysis.js';
import * as promotions from './migrations/0007-promotions.js';

const MIGRATIONS = {
  '0001-foundation': foundation,
  '0002-data-plane': dataPlane,
  '0003-clusters': clusters,
  '0004-rollouts': rollouts,
  '0005-feedback': feedback,
  '0006-analysis': analysis,
  '0007-promotions': promotions,
};

/** Brings the database to this program's schema. Safe to run from several processes at once: Kysely takes a lock. */
export async function migrate(db: Db): Promise<void> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => MIGRATIONS } });
  const { error, results } = await migrator.migrateToLatest();
  if (!error) return;
  const failed = results?.find((result) => result.status === 'Error')?.migrationName ?? 'the migration';
  throw new AppError('internal', `${failed} failed: ${messageOf(error)}`, { cause: error });
}
