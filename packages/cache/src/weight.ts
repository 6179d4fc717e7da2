/** What an entry of a kind weighs, from those seen lately: what a read brings is not known before. */
export type Weight = {
  /** Bytes to reckon with; 0 while nothing is known. */
  readonly bytes: number
  saw(bytes: number): void
  /** A command that reckoned with it failed. */
  doubt(): void
}

export function createWeight(): Weight {
  let bytes = 0
  return {
    get bytes() {
      return bytes
    },
    saw(one) {
      bytes = bytes === 0 ? one : bytes + ((one - bytes) >> 4)
    },
    doubt() {
      bytes = 0
    },
  }
}
