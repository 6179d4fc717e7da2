/** The services that exist, their offset from the HTTP port base, and the name of the database role and Redis user. */
export const services = {
  gateway: { portOffset: 0 },
  user: { portOffset: 1 },
  payment: { portOffset: 2 },
  billing: { portOffset: 3 },
} as const

export type ServiceName = keyof typeof services
