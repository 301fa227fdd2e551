/**
 * How a release starts Node (bin/ballast). A young generation of 3 × 16 MiB in place of 3 × 32 takes a quarter off the peak of
 * a plan; as a bundle it was no slower for it, from the sources it was (docs/speed.md).
 */
export const NODE_FLAGS: readonly string[] = ['--max-semi-space-size=16']

/** The same for `ballast worker`, whose pauses for garbage they halve while a whole node is loaded (docs/xdp-speed.md). */
export const WORKER_FLAGS: readonly string[] = ['--max-semi-space-size=8']
