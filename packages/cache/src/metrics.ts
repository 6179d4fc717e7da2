import { Counter, Gauge, type Registry } from 'prom-client'

type Metric<Label extends string> = { name: string; help: string; labelNames: Label[] }

/** The counter of this name: of the registry, if it has one already, else made there. */
export function counterIn<Label extends string>(
  registry: Registry | undefined,
  metric: Metric<Label>,
): Counter<Label> {
  const present = registry?.getSingleMetric(metric.name) as Counter<Label> | undefined
  return present ?? new Counter({ ...metric, registers: registry ? [registry] : [] })
}

/** The same for a gauge. */
export function gaugeIn<Label extends string>(
  registry: Registry | undefined,
  metric: Metric<Label>,
): Gauge<Label> {
  const present = registry?.getSingleMetric(metric.name) as Gauge<Label> | undefined
  return present ?? new Gauge({ ...metric, registers: registry ? [registry] : [] })
}
