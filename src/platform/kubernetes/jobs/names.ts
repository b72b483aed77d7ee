/** The name of an attempt's Job. */
export function jobName(jobId: string, attempt: number): string {
  return `sluice-${jobId.toLowerCase().replaceAll('_', '-')}-${attempt}`;
}
