/** Rollouts: progressive changes of traffic, and a person's hand on them. */
import { createRoute, z } from '@hono/zod-openapi';
import { readStats } from '../../core/inference/statistics.js';
import { NO_STATS } from '../../core/rollouts/analysis.js';
import { type RolloutState, rolloutPlanSchema } from '../../core/rollouts/rollout.js';
import { actOnRollout, getRollout, listRollouts, type RolloutRow, rolloutEvents } from '../../core/rollouts/store.js';
import { analysisViewSchema } from '../analysis-view.js';
import { statsSchema, statsView } from '../endpoint-view.js';
import { enqueueOrLog } from '../enqueue.js';
import { answer, limit, named, newRouter, READ_ERRORS, time, WRITE_ERRORS } from '../openapi.js';
import type { Services } from '../services.js';

const tags = ['Rollouts'];
const STATES = ['running', 'paused', 'promoted', 'rolled_back', 'aborted'] as const satisfies readonly RolloutState[];
const state = z.enum(STATES);
const params = z.object({ rollout: named('Id of the rollout.') });

const summarySchema = z
  .object({
    id: z.string(),
    endpoint: z.string(),
    candidate: z.number().int().describe('The new revision.'),
    stable: z.number().int().describe('The revision that it is compared with.'),
    state,
    step: z.number().int().describe('Index into the steps of the plan; -1 while the candidate is brought up.'),
    plan: rolloutPlanSchema,
    reason: z.string(),
    promotionId: z.string().nullable(),
    createdAt: time,
    endedAt: time.nullable(),
  })
  .openapi('RolloutSummary');

const rolloutSchema = summarySchema
  .extend({
    analysis: analysisViewSchema.nullable().describe('The last verdict; null before the candidate had traffic.'),
    events: z
      .array(z.object({ at: time, kind: z.string(), message: z.string(), data: z.record(z.string(), z.unknown()) }))
      .describe('What happened, oldest first.'),
    stats: z
      .object({ stable: statsSchema, candidate: statsSchema })
      .describe('Both over the same window: since the candidate first had traffic.'),
  })
  .openapi('Rollout');

const list = createRoute({
  method: 'get',
  path: '/rollouts',
  operationId: 'listRollouts',
  summary: 'Rollouts, newest first',
  tags,
  request: { query: z.object({ endpoint: z.string().optional(), limit: limit(1000, 100) }) },
  responses: { 200: answer(z.object({ rollouts: z.array(summarySchema) }), 'Rollouts.'), ...READ_ERRORS },
});

const get = createRoute({
  method: 'get',
  path: '/rollouts/{rollout}',
  operationId: 'getRollout',
  summary: 'A rollout with its events and the numbers of both revisions',
  tags,
  request: { params },
  responses: { 200: answer(rolloutSchema, 'The rollout.'), ...READ_ERRORS },
});

const ACTIONS = {
  pause: 'Stay at this step; a regression still rolls back',
  resume: 'Go on',
  promote: 'Give the candidate everything now',
  abort: 'Give the stable revision everything back now',
} as const;

/** Routes of rollouts. */
export function rolloutRoutes(services: Services) {
  const app = newRouter();
  const { db } = services;

  app.openapi(list, async (c) => {
    const rows = await listRollouts(db, c.get('caller').project, c.req.valid('query'));
    return c.json({ rollouts: rows.map(summaryView) }, 200);
  });

  app.openapi(get, async (c) => {
    const row = await getRollout(db, c.get('caller').project, c.req.valid('param').rollout);
    const [events, stable, candidate] = await Promise.all([
      rolloutEvents(db, row.id),
      armStats(services, row, row.stable),
      armStats(services, row, row.candidate),
    ]);
    return c.json(
      {
        ...summaryView(row),
        analysis: row.analysis,
        events: events.map((event) => ({
          at: event.at.toISOString(),
          kind: event.kind,
          message: event.message,
          data: event.data,
        })),
        stats: { stable: statsView(stable), candidate: statsView(candidate) },
      },
      200,
    );
  });

  for (const [action, summary] of Object.entries(ACTIONS) as [keyof typeof ACTIONS, string][]) {
    const act = createRoute({
      method: 'post',
      path: `/rollouts/{rollout}/${action}`,
      operationId: `${action}Rollout`,
      summary,
      tags,
      request: { params },
      responses: { 200: answer(z.object({ state }), 'Its state now.'), ...WRITE_ERRORS },
    });
    app.openapi(act, async (c) => {
      const { project, actor } = c.get('caller');
      const { rollout } = c.req.valid('param');
      const now = await actOnRollout(db, project, rollout, action, actor);
      await enqueueOrLog(services, 'rollout.advance', { rolloutId: rollout }, rollout);
      return c.json({ state: now }, 200);
    });
  }

  return app;
}

async function armStats({ db }: Services, row: RolloutRow, revision: number) {
  return row.compared_since
    ? readStats(db, row.endpoint_id, revision, row.compared_since, row.ended_at ?? undefined)
    : NO_STATS;
}

function summaryView(row: RolloutRow) {
  return {
    id: row.id,
    endpoint: row.endpoint,
    candidate: row.candidate,
    stable: row.stable,
    state: row.state,
    step: row.step,
    plan: row.plan,
    reason: row.reason,
    promotionId: row.promotion_id,
    createdAt: row.created_at.toISOString(),
    endedAt: row.ended_at?.toISOString() ?? null,
  };
}
