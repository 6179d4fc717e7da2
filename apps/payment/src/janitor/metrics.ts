import { Gauge, type Registry } from 'prom-client'
import type { janitorStore } from './janitor-store.ts'

const everyMs = 5_000

/** Shows what waits to be settled, as it was some seconds ago at most. */
export function backlogGauges(registry: Registry | undefined) {
  const registers = registry ? [registry] : []
  const unsettled = new Gauge({
    name: 'wattle_payments_unsettled',
    help: 'Charges and refunds whose outcome is not known yet',
    registers,
  })
  const overdue = new Gauge({
    name: 'wattle_payments_overdue_seconds',
    help: 'How long the longest waiting charge or refund should have been looked at already',
    registers,
  })
  const contradictions = new Gauge({
    name: 'wattle_payments_contradictions',
    help: 'Contradictions of the processor that were recorded; a person must look at each',
    registers,
  })
  let measuredAt = -Infinity

  return async function measure(store: ReturnType<typeof janitorStore>): Promise<void> {
    if (performance.now() - measuredAt < everyMs) return
    measuredAt = performance.now()
    const backlog = await store.backlog()
    unsettled.set(backlog.unsettled)
    overdue.set(backlog.overdueSeconds)
    contradictions.set(backlog.contradictions)
  }
}
