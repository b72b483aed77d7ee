/** Where work that one worker holds at a time stands: asynchronous and batch predictions. */
export type WorkState = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';
