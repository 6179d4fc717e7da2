import { readFileSync } from 'node:fs'
import { defineScript, type Script } from '../script.ts'

export const prelude = readFileSync(new URL('./prelude.lua', import.meta.url), 'utf8')

/**
 * A script that works with a channel: it may use the functions of `prelude.lua`. One that announces something gets the
 * sequence as KEYS[1] and the log as KEYS[2], the target as ARGV[1] and the payload as ARGV[2], all for `announce`, and
 * returns a list that begins with the two values that `announce` returned.
 */
export const defineChannelScript = (url: URL): Script => defineScript(url, prelude)
