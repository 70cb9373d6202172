// Starts emulate with the seed in the first argument, on free ports, and prints one line of JSON:
// {"url": where it answers, "key": the private key of the seeded App}.
// Ends when its standard input does, and so with whoever started it.
//
// A front passes everything on to emulate, except the two questions that emulate@0.12.2 has no
// route for: whose token this is (GraphQL's viewer), and the rulesets of a branch (there are none).

import { webcrypto } from 'node:crypto'
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { createEmulator } from 'emulate'

globalThis.crypto ??= webcrypto // Node 18, which Debian 12 has, knows it by the longer name only

const HOST = '127.0.0.1'
const seed = JSON.parse(process.argv[2])
let inner

const front = createServer(async (asked, answer) => {
  if (asked.method === 'POST' && asked.url === '/graphql') {
    return say(answer, { data: { viewer: { login: await login(asked.headers) } } })
  }
  if (asked.method === 'GET' && /^\/repos\/[^/]+\/[^/]+\/rules\/branches\//.test(asked.url)) {
    return say(answer, [])
  }
  const { method, url: path, headers } = asked
  const passed = request({ host: HOST, port: inner, method, path, headers }, (got) => {
    answer.writeHead(got.statusCode, got.headers)
    got.pipe(answer)
  })
  passed.on('error', () => answer.destroy())
  asked.pipe(passed)
})

function say(answer, content) {
  answer.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(content))
}

async function login({ authorization }) {
  // Installation tokens begin so, on GitHub and here; there is one App.
  if (authorization.includes('ghs_')) return `${seed.github.apps[0].slug}[bot]`
  const user = await fetch(`http://${HOST}:${inner}/user`, { headers: { authorization } })
  return (await user.json()).login
}

async function freePort() {
  const server = createServer().listen(0, HOST)
  await once(server, 'listening')
  const { port } = server.address()
  await new Promise((closed) => server.close(closed))
  return port
}

// emulate has to know the front's address before it starts, and the front emulate's port.
async function start(baseUrl) {
  for (;;) {
    inner = await freePort()
    try {
      return await createEmulator({ service: 'github', port: inner, baseUrl, seed })
    } catch (error) {
      if (error.code !== 'EADDRINUSE') throw error
    }
  }
}

process.stdin.resume().on('end', () => process.exit())
front.listen(0, HOST)
await once(front, 'listening')
const url = `http://${HOST}:${front.address().port}`
const { generatedSecrets } = await start(url)
console.log(JSON.stringify({ url, key: generatedSecrets[0].value }))
