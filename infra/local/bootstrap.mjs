// What `npm start`, `npm test` and their like run first. It needs Node 20 and npm, and nothing installed.
// This file keeps to what old versions of Node understand, so that they get a sentence and not a syntax error.
const oldest = 20

async function main() {
  if (Number(process.versions.node.split('.')[0]) < oldest) {
    console.error(
      `Wattle needs Node ${oldest} or later; this is ${process.version}. Get one from https://nodejs.org.`,
    )
    return 1
  }
  const { run } = await import('./bootstrap/run.mjs')
  return run(process.argv.slice(2))
}

main().then(
  (code) => process.exit(code),
  (error) => {
    console.error(error)
    process.exit(1)
  },
)
