/** What `before` resolves to when the work takes too long. */
export const late = Symbol('late')

/** What `work` resolves to, or `late` when that takes longer. `work` must not reject. */
export async function before<T>(milliseconds: number, work: Promise<T>): Promise<T | typeof late> {
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<typeof late>((resolve) => {
    // When it was this process that stood still, the answer may be there: it is read before immediates run.
    timer = setTimeout(() => setImmediate(resolve, late), milliseconds)
  })
  try {
    return await Promise.race([work, over])
  } finally {
    clearTimeout(timer)
  }
}
