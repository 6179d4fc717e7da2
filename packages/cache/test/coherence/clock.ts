const monotonicMs = () => Number(process.hrtime.bigint()) / 1e6

/** The name under which a process of a run is told when the clock of the run began. */
export const clockOrigin = 'WATTLE_CLOCK_ORIGIN_MS'

/**
 * What the monotonic clock of the machine has to be moved by to show the time since 1970. All processes of a run take
 * that of the first: `performance.timeOrigin` is made by each process from two clocks, and where it is stopped between
 * the two, as happens to one in some hundred on a busy machine, its times are off by some ten milliseconds for good.
 */
export const originMs = Number(process.env[clockOrigin] ?? Date.now() - monotonicMs())

/** Milliseconds since the epoch, with fractions, on a clock that all processes of a run share and nobody sets back. */
export const clockMs = () => originMs + monotonicMs()
