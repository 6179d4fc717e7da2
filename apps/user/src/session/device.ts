const programs: readonly (readonly [RegExp, string])[] = [
  [/\bEdg(e|A|iOS)?\//, 'Edge'],
  [/\b(OPR|Opera)\//, 'Opera'],
  [/\bSamsungBrowser\//, 'Samsung Internet'],
  [/\b(Firefox|FxiOS)\//, 'Firefox'],
  [/\b(Chrome|CriOS)\//, 'Chrome'],
  [/\bVersion\/[\d.]+.*\bSafari\//, 'Safari'],
]

const systems: readonly (readonly [RegExp, string])[] = [
  [/\b(iPhone|iPad|iPod)\b/, 'iOS'],
  [/\bAndroid\b/, 'Android'],
  [/\bWindows\b/, 'Windows'],
  [/\b(Macintosh|Mac OS X)\b/, 'macOS'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bLinux\b/, 'Linux'],
]

/**
 * A name for what sent this user agent: program and system, without versions. Others than browsers by the first product
 * name (`curl`). What a client says of itself is a hint, not a proof.
 */
export function deviceOf(userAgent: string | string[] | undefined): string {
  if (typeof userAgent !== 'string' || userAgent.trim() === '') return 'Unknown'
  const system = systems.find(([form]) => form.test(userAgent))?.[1]
  const program =
    programs.find(([form]) => form.test(userAgent))?.[1] ??
    /^[A-Za-z][A-Za-z0-9 ._-]{0,39}/.exec(userAgent)?.[0].trim() ??
    'Unknown'
  return system === undefined ? program : `${program} on ${system}`
}
