/** Remembers what the platform has said it has, and compares it with what it says later: nothing may go or change. */
import type { AliasChange, Model, Traffic } from '../../src/cli/api-types.js';
import { type Api, HAND_ALIAS } from './api.js';

/** A traffic history shows so many settings at most. */
const TRAFFIC_SHOWN = 200;
const ALIASES = ['champion', HAND_ALIAS] as const;

export class Witness {
  private readonly versions = new Map<number, string>();
  private readonly settings = new Map<number, string>();
  private readonly aliases = new Map<string, string[]>();
  private looking: Promise<void> | undefined;
  private stopped = true;

  constructor(private readonly api: Api) {}

  /** How many versions and traffic settings were seen. */
  get seen(): { versions: number; settings: number } {
    return { versions: this.versions.size, settings: this.settings.size };
  }

  /** Looks again and again, until `pause`; a look that fails is none. */
  watch(): void {
    this.stopped = false;
    this.looking = (async () => {
      while (!this.stopped) {
        await this.look().catch(() => {});
        await new Promise((resolve) => setTimeout(resolve, 150));
      }
    })();
  }

  async pause(): Promise<void> {
    this.stopped = true;
    await this.looking;
  }

  /** Compares what is there now with all that was seen, adds it, and answers what does not fit. */
  async look(): Promise<string[]> {
    const { api } = this;
    const [model, traffic, ...histories] = await Promise.all([
      api.model(),
      api.traffic(),
      ...ALIASES.map((alias) => api.aliasHistory(alias).catch(() => [])),
    ]);
    const problems = [...this.compareVersions(model), ...this.compareTraffic(traffic)];
    ALIASES.forEach((alias, at) => {
      problems.push(...this.compareAlias(alias, histories[at] ?? []));
    });
    return problems;
  }

  private compareVersions(model: Model): string[] {
    const now = new Map(
      model.versions.map(({ version, artifact, lineage }) => [version, `${artifact.digest} of ${lineage.jobId}`]),
    );
    const problems = changed('version', this.versions, now);
    if (now.size !== model.lastVersion)
      problems.push(`the model has ${now.size} versions and counts to ${model.lastVersion}`);
    for (const [version, text] of now) this.versions.set(version, text);
    return problems;
  }

  private compareTraffic({ generation, targets, history = [] }: Traffic): string[] {
    const now = new Map(history.map((setting) => [setting.generation, JSON.stringify(setting.targets)]));
    const recent = new Map([...this.settings].filter(([older]) => older > generation - TRAFFIC_SHOWN));
    const problems = changed('traffic generation', recent, now);
    for (let expected = generation; expected > Math.max(0, generation - TRAFFIC_SHOWN); expected--) {
      if (!now.has(expected)) problems.push(`traffic generation ${expected} is not in the history`);
    }
    if (generation > 0 && now.get(generation) !== JSON.stringify(targets))
      problems.push(`traffic generation ${generation} is not what is in force`);
    for (const setting of history) {
      const sum = setting.targets.reduce((total, target) => total + target.percent, 0);
      if (Math.abs(sum - 100) > 1e-6) problems.push(`traffic generation ${setting.generation} sums to ${sum}`);
      this.settings.set(setting.generation, JSON.stringify(setting.targets));
    }
    return problems;
  }

  private compareAlias(alias: string, newestFirst: readonly AliasChange[]): string[] {
    const history = [...newestFirst].reverse();
    const now = history.map(({ from, to }) => `${from}→${to}`);
    const before = this.aliases.get(alias) ?? [];
    const problems: string[] = [];
    if (before.some((move, at) => now[at] !== move))
      problems.push(`alias ${alias}: its history was ${before.join(', ')}, it is ${now.join(', ')}`);
    history.forEach(({ from }, at) => {
      const last = at === 0 ? null : (history[at - 1]?.to ?? null);
      if (from !== last) problems.push(`alias ${alias}: a move from ${from} follows one to ${last}`);
    });
    this.aliases.set(alias, now);
    return problems;
  }
}

function changed(what: string, before: ReadonlyMap<number, string>, now: ReadonlyMap<number, string>): string[] {
  return [...before].flatMap(([number, text]) => {
    const is = now.get(number);
    return is === text ? [] : [`${what} ${number} was ${text}, it is ${is ?? 'gone'}`];
  });
}
