/** Time kept for reading and sending what there is to say. */
const reserveMs = 400

/**
 * Waits for work, but not so long that its request could not be answered in time; then the work goes on by itself, and
 * what comes of it is found by asking. Rejects when the work does in time.
 */
export async function unlessLate(
  deadline: { remainingMs(): number },
  work: Promise<unknown>,
): Promise<void> {
  // Whoever is late has left; the janitor goes on with what failed.
  work.catch(() => {})
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, Math.max(0, deadline.remainingMs() - reserveMs))
  })
  try {
    await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
