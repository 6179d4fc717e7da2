/** What an entry of a kind weighs, from those seen lately: what a read brings is not known before. */
export class Weight {
  /** To reckon with; 0 while nothing is known. */
  bytes = 0

  saw(bytes: number): void {
    this.bytes = this.bytes === 0 ? bytes : this.bytes + ((bytes - this.bytes) >> 4)
  }

  /** A command that reckoned with it failed. */
  doubt(): void {
    this.bytes = 0
  }
}
