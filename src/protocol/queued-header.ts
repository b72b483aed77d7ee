/**
 * Over HTTP, how long a prediction waited in the model server before it was worked on, in whole milliseconds; frames carry
 * it by themselves. Whoever sends it has done its work: what is left is only to be carried.
 */
export const QUEUED_HEADER = 'sluice-queued-ms';
