import { AppError, type RouteContract } from '@wattle/contracts'
import { Counter, Gauge, type Registry } from 'prom-client'
import { createCircuit, type CircuitRules, type CircuitState } from './circuit.ts'
import { defaultDeadlineMs } from './deadline.ts'
import type { ReadinessCheck } from './readiness.ts'

/**
 * What became of a request: `answered`, whatever the answer; `failed`: no connection, or an answer that says that nobody
 * is there; `timed_out`; `abandoned`: its caller left, or was at fault.
 */
export type Verdict = 'answered' | 'failed' | 'timed_out' | 'abandoned'

/** One request that was let through. */
export type Attempt = {
  /** Must be called once when the request has ended. A time-out after too little time counts as abandoned. */
  end(verdict: Verdict, cause?: unknown): void
}

/** The circuit to one service. */
export type ServiceCircuit = {
  /** Lets a request through; undefined where it must not be sent. */
  enter(contract: Pick<RouteContract, 'deadlineMs'>): Attempt | undefined
  /** What callers are told of a request that was not let through: UNAVAILABLE, with the time to come again. */
  refusal(): AppError
  /** Counts a request that was not sent for another reason. */
  rejected(): void
}

/** For operators: what a circuit is doing. */
export type CircuitStatus = {
  readonly service: string
  readonly origin: string
  readonly state: CircuitState
  /** Of the calls that were looked at last. */
  readonly recent: { readonly calls: number; readonly failed: number }
  /** Until the next probe, where it is open. */
  readonly retryInMs: number | undefined
}

export type Circuits = {
  /** The circuit to a service at an address: the same for the same name and origin, whoever asks. */
  to(service: string, url: string | URL): ServiceCircuit
  list(): CircuitStatus[]
  /** A check for each circuit there is by now, for createService: degraded until it is closed, never unready. */
  checks(): Record<string, ReadinessCheck>
}

export type CircuitsOptions = {
  /** Where the metrics go; without it there are none. One `createCircuits` for each registry. */
  readonly registry?: Registry
  readonly log?: {
    info(fields: object, message: string): void
    warn(fields: object, message: string): void
  }
  readonly rules?: Partial<CircuitRules>
  /** Milliseconds that never jump. */
  readonly now?: () => number
  readonly random?: () => number
}

const stateNumbers = { closed: 0, 'half-open': 1, open: 2 } as const
const inWords = {
  closed: 'closed again, and lets in more calls as they are answered',
  'half-open': 'half-open, and all its probes are under way',
  open: 'open',
} as const
/** Whoever waited less has not given the service the time to answer, and its time-out says nothing. */
const fairMs = 1_000

/**
 * The circuits of a process to the services that it calls: see circuit.ts. Hand one to every client, so that they share
 * what they know of a service, and its metrics.
 */
export function createCircuits(options: CircuitsOptions = {}): Circuits {
  const { registry, log, rules, now = () => performance.now(), random = Math.random } = options
  const all = new Map<string, { circuit: ServiceCircuit; status(): CircuitStatus }>()
  const count = metricsOf(registry, list)

  function list(): CircuitStatus[] {
    return [...all.values()].map(({ status }) => status())
  }

  function circuitTo(service: string, origin: string) {
    let lastCause: unknown
    let isDown = false
    const circuit = createCircuit({
      ...(rules && { rules }),
      now,
      random,
      onChange(state, cause) {
        if (state === 'open') lastCause = cause
        // A probe that fails tells nothing new.
        if (state === 'half-open' || (state === 'open') === isDown) return
        isDown = state === 'open'
        if (isDown) log?.warn({ target: service, origin, err: cause }, 'circuit opened')
        else log?.info({ target: service, origin }, 'circuit closed')
      },
    })

    const serviceCircuit: ServiceCircuit = {
      enter({ deadlineMs = defaultDeadlineMs }) {
        const endCall = circuit.enter()
        if (endCall === undefined) {
          count(service, 'rejected')
          return undefined
        }
        const beganMs = now()
        return {
          end(verdict, cause) {
            const isUnfair =
              verdict === 'timed_out' && now() - beganMs < Math.min(fairMs, deadlineMs / 2)
            const result = isUnfair ? 'abandoned' : verdict
            count(service, result)
            endCall(outcomes[result], cause)
          },
        }
      },
      refusal: () =>
        new AppError('UNAVAILABLE', `The ${service} service is not available at the moment.`, {
          cause: new Error(`the circuit to ${service} is ${inWords[circuit.state]}`, {
            cause: lastCause,
          }),
          retryAfterSeconds: Math.max(1, Math.ceil(circuit.retryInMs() / 1_000)),
        }),
      rejected: () => count(service, 'rejected'),
    }
    const status = (): CircuitStatus => {
      const { state, recent } = circuit
      const retryInMs = state === 'open' ? Math.ceil(circuit.retryInMs()) : undefined
      return { service, origin, state, recent, retryInMs }
    }
    return { circuit: serviceCircuit, status }
  }

  return {
    to(service, url) {
      const { origin } = new URL(url)
      const key = `${service} ${origin}`
      let known = all.get(key)
      if (known === undefined) {
        known = circuitTo(service, origin)
        all.set(key, known)
      }
      return known.circuit
    },
    list,
    checks: () =>
      Object.fromEntries(
        [...all.values()].map(({ status }) => [
          status().service,
          {
            required: false,
            async check() {
              const { state, service } = status()
              if (state !== 'closed') throw new Error(`the circuit to ${service} is ${state}`)
            },
          },
        ]),
      ),
  }
}

const outcomes = {
  answered: 'succeeded',
  failed: 'failed',
  timed_out: 'failed',
  abandoned: 'unknown',
} as const

function metricsOf(registry: Registry | undefined, list: () => readonly CircuitStatus[]) {
  if (registry === undefined) return () => undefined
  const states = new Gauge({
    name: 'wattle_http_client_circuit_state',
    help: 'State of the circuit to a called service: 0 closed, 1 half-open, 2 open',
    labelNames: ['target'],
    registers: [],
    collect() {
      for (const { service, state } of list()) this.set({ target: service }, stateNumbers[state])
    },
  })
  registry.registerMetric(states)
  const requests = new Counter({
    name: 'wattle_http_client_requests_total',
    help: 'Requests to other services; rejected means not sent: circuit open, or too many under way',
    labelNames: ['target', 'result'],
    registers: [registry],
  })
  return (target: string, result: Verdict | 'rejected'): void => requests.inc({ target, result })
}
