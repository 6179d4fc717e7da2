import { Counter, Gauge, Histogram, Registry } from 'prom-client'

/** Of the relay. Every copy of a service reports its backlog: aggregate with `max by (service)`. */
export function relayMetrics(registry: Registry = new Registry()) {
  return {
    pending: once(registry, 'wattle_events_outbox_pending', (name) => {
      const help = 'Events in the outbox that no replica of Redis has yet'
      return new Gauge({ name, help, labelNames: ['service'], registers: [registry] })
    }),
    oldest: once(registry, 'wattle_events_outbox_oldest_seconds', (name) => {
      const help = 'Age of the oldest event that waits in the outbox; 0 when none does'
      return new Gauge({ name, help, labelNames: ['service'], registers: [registry] })
    }),
    sent: once(registry, 'wattle_events_sent_total', (name) => {
      const help = 'Events that the relay brought to Redis, repetitions included'
      return new Counter({ name, help, labelNames: ['service'], registers: [registry] })
    }),
    histories: once(registry, 'wattle_events_history_changes_total', (name) => {
      const help = 'How often Redis turned out to have another history (failover, restart, loss)'
      return new Counter({ name, help, labelNames: ['service'], registers: [registry] })
    }),
  }
}

/** Of a consumer. Lag and dead letters are the same in every copy: aggregate with `max`. */
export function consumerMetrics(registry: Registry = new Registry()) {
  const labelNames = ['stream', 'group'] as const
  return {
    lag: once(registry, 'wattle_events_lag', (name) => {
      const help = 'Events in the stream that the group has not acknowledged'
      return new Gauge({ name, help, labelNames, registers: [registry] })
    }),
    deadLetters: once(registry, 'wattle_events_dead_letters', (name) => {
      const help = 'Events that wait for somebody to re-drive or discard them'
      return new Gauge({ name, help, labelNames, registers: [registry] })
    }),
    outcomes: once(registry, 'wattle_events_handled_total', (name) => {
      const help =
        'Deliveries by outcome: handled, repeated (effect was there), unknown_type, retried, dead'
      const labels = [...labelNames, 'type', 'outcome'] as const
      return new Counter({ name, help, labelNames: labels, registers: [registry] })
    }),
    delay: once(registry, 'wattle_events_delivery_seconds', (name) => {
      const help = 'From the event to its effect'
      const buckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]
      return new Histogram({ name, help, labelNames, buckets, registers: [registry] })
    }),
  }
}

export type ConsumerMetrics = ReturnType<typeof consumerMetrics>

/** Several relays or consumers of a process share the metrics of its registry. */
function once<M>(registry: Registry, name: string, create: (name: string) => M): M {
  return (registry.getSingleMetric(name) as M | undefined) ?? create(name)
}
