import type { Issue } from './ring.ts'

/** As many as one write sends without holding up others. */
const mostAtOnce = 100

/** Sends issues again, in their order, and notes which history executed them. Whether all did in `epoch`. */
export async function reissue(
  due: readonly Issue[],
  epoch: string,
  run: (issue: Issue) => Promise<unknown[]>,
): Promise<boolean> {
  for (let from = 0; from < due.length; from += mostAtOnce) {
    const batch = due.slice(from, from + mostAtOnce)
    const replies = await Promise.allSettled(batch.map(run))
    for (const [at, reply] of replies.entries()) {
      const issue = batch[at]
      if (reply.status === 'fulfilled' && issue) issue.epoch = String(reply.value[0])
    }
    if (batch.some((issue) => issue.epoch !== epoch)) return false
  }
  return true
}
