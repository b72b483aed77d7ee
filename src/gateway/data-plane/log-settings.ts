/** Triton's log settings over the level of this process's log. */
import { AppError } from '../../errors.js';
import type { Log, LogLevel } from '../../log.js';

export type LogSetting = boolean | number | string;

/** The settings as they are. */
export function logSettings({ level }: Log): Readonly<Record<string, LogSetting>> {
  return {
    log_file: '',
    log_info: level === 'debug' || level === 'info',
    log_warning: level !== 'error' && level !== 'silent',
    log_error: level !== 'silent',
    log_verbose_level: level === 'debug' ? 1 : 0,
    log_format: 'default',
  };
}

const TYPES: Readonly<Record<string, 'boolean' | 'number' | 'string'>> = {
  log_file: 'string',
  log_info: 'boolean',
  log_warning: 'boolean',
  log_error: 'boolean',
  log_verbose_level: 'number',
  log_format: 'string',
};

/** Changes the level of the log of this process until it ends. Refuses what it has no setting for. */
export function changeLogSettings(log: Log, changes: Readonly<Record<string, unknown>>): void {
  const wanted = { ...logSettings(log) };
  for (const [name, value] of Object.entries(changes)) {
    const type = TYPES[name];
    if (!type) throw new AppError('invalid', `there is no log setting "${name.slice(0, 100)}"`);
    if (typeof value !== type) {
      const shown = (JSON.stringify(value) ?? '').slice(0, 60);
      throw new AppError('invalid', `log setting ${name} is ${shown}, expected a ${type}`);
    }
    if ((name === 'log_file' || name === 'log_format') && value !== wanted[name])
      throw new AppError('unsupported', `log setting ${name} cannot be changed while the gateway runs`);
    wanted[name] = value as LogSetting;
  }
  log.level = levelOf(wanted);
}

/** The least severe of the levels that are on. */
function levelOf(settings: Readonly<Record<string, LogSetting>>): LogLevel {
  if (Number(settings.log_verbose_level) > 0) return 'debug';
  if (settings.log_info === true) return 'info';
  if (settings.log_warning === true) return 'warn';
  return settings.log_error === true ? 'error' : 'silent';
}
