/**
 * Joins what is asked for in the same turn of the event loop: `send` gets at most `most` jobs at a time.
 *
 * `process.nextTick` runs when the promises of the turn have been followed, so that whoever continues after a reply is
 * in time for the next batch.
 */
export function createBatch<Job>(most: number, send: (jobs: Job[]) => void): (job: Job) => void {
  let waiting: Job[] = []
  const flush = () => {
    const jobs = waiting
    waiting = []
    if (jobs.length <= most) return send(jobs)
    for (let from = 0; from < jobs.length; from += most) send(jobs.slice(from, from + most))
  }
  return (job) => {
    if (waiting.push(job) === 1) process.nextTick(flush)
  }
}
