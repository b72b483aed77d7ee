/** Questions and answers between two processes over Node's IPC channel: for what is asked rarely. */
import { AppError, messageOf } from '../errors.js';

/** What travels; other messages on the channel are left alone. */
type IpcMessage =
  | { readonly kind: 'ask'; readonly id: number; readonly about: string; readonly value: unknown }
  | { readonly kind: 'told'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'untold'; readonly id: number; readonly error: string };

/** One end of a channel: this process's own, or that of a child. */
export interface IpcChannel {
  /** Undefined on a process without a channel. */
  send?(message: object): unknown;
  on(event: 'message', listener: (message: unknown) => void): unknown;
  on(event: 'disconnect', listener: () => void): unknown;
}

/** Answers questions by what they are about. */
export type IpcAnswers = Readonly<Record<string, (value: unknown) => unknown>>;

export interface IpcPeer {
  /** Rejects when the other side fails, or goes away. */
  ask<T>(about: string, value?: unknown): Promise<T>;
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export function ipcPeer(channel: IpcChannel, answers: IpcAnswers): IpcPeer {
  const pending = new Map<number, Pending>();
  let lastId = 0;
  channel.on('message', (message) => {
    const { kind, id } = message as Partial<IpcMessage>;
    if (id === undefined) return;
    if (kind === 'ask') void answer(message as Extract<IpcMessage, { kind: 'ask' }>);
    const waiting = pending.get(id);
    if (!waiting || kind === 'ask') return;
    pending.delete(id);
    const { value, error } = message as { value?: unknown; error?: string };
    if (kind === 'told') waiting.resolve(value);
    else waiting.reject(new AppError('internal', error ?? ''));
  });
  channel.on('disconnect', () => {
    for (const { reject } of pending.values()) reject(new AppError('not_ready', 'the other process is gone'));
    pending.clear();
  });
  const answer = async ({ id, about, value }: Extract<IpcMessage, { kind: 'ask' }>) => {
    let told: IpcMessage;
    try {
      told = { kind: 'told', id, value: await answers[about]?.(value) };
    } catch (error) {
      told = { kind: 'untold', id, error: messageOf(error) };
    }
    channel.send?.(told);
  };
  return {
    ask<T>(about: string, value?: unknown) {
      const id = ++lastId;
      return new Promise<T>((resolve, reject) => {
        pending.set(id, { resolve: (told) => resolve(told as T), reject });
        channel.send?.({ kind: 'ask', id, about, value } satisfies IpcMessage);
      });
    },
  };
}
