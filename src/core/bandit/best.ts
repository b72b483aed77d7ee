/**
 * The probability of each arm to be the best, which is the share that Thompson sampling (Thompson 1933) gives it on average.
 *
 * An arm's rate has the posterior Beta(a, b). P(i is best) = ∫ f_i(x) ∏_{j≠i} F_j(x) dx is integrated numerically rather
 * than sampled: the same counts give the same shares, without noise that would move traffic for nothing. In the variable
 * t = ln(x / (1 − x)) every posterior is smooth, x^a (1−x)^b / B(a, b), with mean ψ(a) − ψ(b) and variance ψ'(a) + ψ'(b);
 * the grid is fine around each arm's mean, wherever it lies.
 */
import { logGamma } from '../rollouts/analysis/special.js';

/** A Beta distribution. */
export interface Posterior {
  readonly a: number;
  readonly b: number;
}

/** Points for each arm, and how many standard deviations they reach to both sides. */
const POINTS = 480;
const REACH = 12;

/** The probability of each posterior to be the largest; they sum to 1. */
export function probabilitiesOfBest(posteriors: readonly Posterior[]): number[] {
  if (posteriors.length <= 1) return posteriors.map(() => 1);
  const grid = gridOf(posteriors);
  const curves = posteriors.map((posterior) => curveOf(posterior, grid));
  // of all but one of the distribution functions, without dividing by what may be zero
  const raw = curves.map(({ density }, arm) => {
    const height = grid.map((_, at) => {
      let product = density[at] ?? 0;
      for (let other = 0; other < curves.length && product > 0; other++)
        if (other !== arm) product *= curves[other]?.below[at] ?? 0;
      return product;
    });
    return areas(grid, height).at(-1) ?? 0;
  });
  const total = raw.reduce((sum, each) => sum + each, 0);
  return raw.map((each) => each / total);
}

function gridOf(posteriors: readonly Posterior[]): number[] {
  const points = posteriors.flatMap(({ a, b }) => {
    const mean = digamma(a) - digamma(b);
    const step = (2 * REACH * Math.sqrt(trigamma(a) + trigamma(b))) / POINTS;
    return Array.from({ length: POINTS + 1 }, (_, at) => mean + (at - POINTS / 2) * step);
  });
  return points.sort((x, y) => x - y);
}

function curveOf({ a, b }: Posterior, grid: readonly number[]): { density: number[]; below: number[] } {
  const scale = logGamma(a + b) - logGamma(a) - logGamma(b);
  const density = grid.map((t) => Math.exp(scale - a * softplus(-t) - b * softplus(t)));
  const below = areas(grid, density);
  const whole = below.at(-1) ?? 1;
  return { density: density.map((each) => each / whole), below: below.map((each) => each / whole) };
}

/** The area below a curve up to each of its points, by trapezoids. */
function areas(grid: readonly number[], height: readonly number[]): number[] {
  let area = 0;
  return grid.map((t, at) => {
    if (at > 0) area += ((t - (grid[at - 1] as number)) * ((height[at] ?? 0) + (height[at - 1] ?? 0))) / 2;
    return area;
  });
}

/** ln(1 + e^t), for any t. */
function softplus(t: number): number {
  return Math.max(t, 0) + Math.log1p(Math.exp(-Math.abs(t)));
}

/** ψ(x), by its recurrence up to 8 and the asymptotic series from there (Abramowitz and Stegun 6.3.18). */
export function digamma(x: number): number {
  let value = 0;
  let z = x;
  for (; z < 8; z++) value -= 1 / z;
  const s = 1 / (z * z);
  return value + Math.log(z) - 0.5 / z - s * (1 / 12 - s * (1 / 120 - s * (1 / 252 - s / 240)));
}

/** ψ'(x), likewise (6.4.12). */
export function trigamma(x: number): number {
  let value = 0;
  let z = x;
  for (; z < 8; z++) value += 1 / (z * z);
  const s = 1 / (z * z);
  return value + 1 / z + s / 2 + (s / z) * (1 / 6 - s * (1 / 30 - s * (1 / 42 - s / 30)));
}
