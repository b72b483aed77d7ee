/** When a schedule is due. Cron expressions with time zones, daylight saving included, are cron-parser's. */
import { CronExpressionParser } from 'cron-parser';
import { messageOf } from '../../errors.js';

export interface Schedule {
  readonly cron: string;
  readonly timezone: string;
}

const NICKNAMES = /^@(hourly|daily|weekly|monthly|yearly)$/;
/** Minute to day of week. Not `H`, which stands for another time whenever it is read, and no seconds. */
const FIELDS = /^(?!.*H)\S+( +\S+){4}$/i;
const THURSDAY = /\bthu\b/gi;

/** What is wrong with a schedule; undefined when nothing is. */
export function scheduleProblem({ cron, timezone }: Schedule): string | undefined {
  if (!NICKNAMES.test(cron) && !FIELDS.test(cron.replace(THURSDAY, '4')))
    return 'must be five fields (minute, hour, day of month, month, day of week), or @hourly, @daily, @weekly, @monthly or @yearly';
  try {
    new Intl.DateTimeFormat('en', { timeZone: timezone });
  } catch {
    return `has no time zone "${timezone}": use a name of the IANA data base, such as Europe/Berlin`;
  }
  try {
    nextAfter({ cron, timezone }, Date.UTC(2024, 0, 1));
    return undefined;
  } catch (error) {
    return `is none that ever comes: ${messageOf(error)}`;
  }
}

/** The first occurrence after a moment, in milliseconds since the epoch. */
export function nextAfter({ cron, timezone }: Schedule, afterMs: number): number {
  return CronExpressionParser.parse(cron, { currentDate: new Date(afterMs), tz: timezone })
    .next()
    .getTime();
}

/** The last occurrence at or before a moment. */
export function lastUntil({ cron, timezone }: Schedule, untilMs: number): number {
  return CronExpressionParser.parse(cron, { currentDate: new Date(untilMs + 1), tz: timezone })
    .prev()
    .getTime();
}
