import { Counter, Histogram, Registry } from 'prom-client'

/** A registry whose metrics all carry the label `service`. */
export function createRegistry(service: string): Registry {
  const registry = new Registry()
  registry.setDefaultLabels({ service })
  return registry
}

/** Counts and times requests by method, route pattern and status. */
export function createHttpMetrics(registry: Registry) {
  const labelNames = ['method', 'route', 'status'] as const
  const total = new Counter({
    name: 'wattle_http_requests_total',
    help: 'Requests answered; status 499 means that the caller went away first',
    labelNames,
    registers: [registry],
  })
  const seconds = new Histogram({
    name: 'wattle_http_request_seconds',
    help: 'Time from the first byte of a request to the last of its answer',
    labelNames,
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  })
  return (method: string, route: string, status: number, elapsedMs: number): void => {
    const labels = { method, route, status }
    total.inc(labels)
    seconds.observe(labels, elapsedMs / 1_000)
  }
}
