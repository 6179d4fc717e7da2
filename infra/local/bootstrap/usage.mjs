// The help texts of the commands. They are here, in plain JavaScript, so that asking for help installs nothing.

const environment = `
Environment
  WATTLE_HOME                   where data, secrets and logs live (.wattle)
  WATTLE_HTTP_PORT_BASE         first port of the services (3000)
  WATTLE_CACHE_PORT_BASE        first port of the Redis group "cache" (6380)
  WATTLE_STATE_PORT_BASE        first port of the Redis group "state" (6390)
  WATTLE_SENTINEL_PORT_BASE     first port of the Sentinels (26380)
  WATTLE_REDIS_SERVER           the redis-server or valkey-server to use
  DATABASE_URL_<SERVICE>        a database of your own for one service, such as DATABASE_URL_BILLING
  DATABASE_OWNER_URL_<SERVICE>  the same, as the role that migrates it, where that is another one
  WATTLE_LOG_LEVEL              of the services (info)
  NO_COLOR                      plain output
`

const start = `npm start [-- OPTIONS]

Starts the whole stack on this machine: the Redis groups and Sentinels, PostgreSQL, all services. Installs
what is missing, migrates the databases, and fills them with demo data the first time. Ctrl-C stops everything that
it started, and nothing else.

Options
  --fresh   begin from empty data (what is under .wattle/data is deleted)
  --seed    put the demo data into databases given by DATABASE_URL_<SERVICE> as well
  --help    this text
${environment}`

const dev = start
  .replace('npm start [-- OPTIONS]', 'npm run dev [-- OPTIONS]')
  .replace(
    'Starts the whole stack on this machine:',
    'Like `npm start`, and restarts a service when its files, or those of a package it imports, change.\nStarts the whole stack on this machine:',
  )

const stop = `npm run stop

Stops a stack that was left running, from any terminal. It says so when nothing runs.
Looks at WATTLE_HOME (.wattle).
`

const doctor = `npm run doctor

Says what is missing or in the way on this machine, with the fix: Node, npm, ports, Redis, PostgreSQL, memory, disk.
The exit code is 1 when something keeps the stack from starting.
${environment}`

const bench = `npm run bench [-- NAME …] [OPTIONS]

Benchmarks, ours and the alternatives side by side in one run: variants take turns, and what is reported are medians
and ratios, with the machine they come from. Without a name all run, one after another. The libraries to compare with
are installed on the first run, in infra/bench/node_modules. Writes .wattle/bench/NAME-DATE.md and .json.

Names
  the files of infra/bench/suites: cache, and whatever is beside it

Options
  --quick       fewer and shorter rounds: to see that it works, not to compare
  --rounds N    rounds of each group (9; 3 with --quick)
  --group WORD  only groups whose name contains this word (may be repeated)
  --trace FILE  a recorded trace for hit ratios: one "first count" a line, plain or compressed (.zst)
  --help        this text
`

const pack = `npm run pack [-- NAME …]

Builds packages, and those they stand on, into tarballs for use outside this repo: JavaScript with type declarations, and
the scripts that they run in Redis. Without a name all packages with a publishConfig in their package.json. Empties
.wattle/pack and writes there; nothing else in the repo changes.

Names
  folders of packages/: cache, redis, and whatever is beside them
`

const all = `Usage: npm start | npm run stop | npm run dev | npm run doctor | npm run chaos | npm run bench | npm run pack | npm test

  npm start       starts the whole stack on this machine
  npm run stop    stops a stack left running
  npm run dev     like start, and restarts a service when its files change
  npm run doctor  says what is missing or in the way, and the fix
  npm test        checks, types and all tests
  npm run chaos   faults under load, then an audit; -- money, -- cache
  npm run bench   benchmarks, ours beside the alternatives; -- NAME for one
  npm run pack    builds tarballs of the packages, to install elsewhere

Add "-- --help" to a command for its options.
`

/** @type {Record<string, string> & { all: string }} */
export const usage = { all, start, dev, stop, doctor, bench, pack }
