/** What people add to a code or lose from it: spaces, every kind of hyphen and dash, characters that show nothing. */
const ignored = /[\p{White_Space}\p{Dash}\p{Default_Ignorable_Code_Point}]/gu

/**
 * The form in which codes are compared: two codes with the same form are the same code. Compatibility forms are
 * unified (NFKC), case is folded, spaces, hyphens and invisible characters are gone; empty where nothing is left.
 *
 * JavaScript has no case folding. Upper and then lower case does the same for all letters (ß is ss, final sigma is
 * sigma) but the Turkish dotless ı, which counts as i here.
 */
export function foldCode(code: string): string {
  let folded = code
  // One step can make another possible, as when a space between a letter and its accent has gone.
  for (let last; last !== folded;) {
    last = folded
    folded = foldOnce(folded)
  }
  return folded
}

function foldOnce(code: string): string {
  const bare = code.normalize('NFKC').replace(ignored, '')
  return bare.toUpperCase().toLowerCase().replaceAll('ς', 'σ').normalize('NFKC')
}
