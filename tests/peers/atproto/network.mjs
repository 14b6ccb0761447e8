// The official Bluesky servers, all of them on this machine: PLC, PDS and AppView, as their makers test them.
// Says where they are in one line of JSON; GET /settle answers once the AppView has read all that the PDS told.
import { createServer } from 'node:http'
import { TestNetwork } from '@atproto/dev-env'

const network = await TestNetwork.create({ pds: { hostname: 'localhost' }, bsky: {}, plc: {} })
const judge = createServer(async (_, answer) => {
  try {
    await network.processAll(300_000)
    answer.writeHead(200).end('{}')
  } catch (error) {
    answer.writeHead(500).end(JSON.stringify({ error: String(error) }))
  }
}).listen(0, '127.0.0.1', () =>
  console.log(JSON.stringify({
    plc: network.plc.url,
    pds: network.pds.url,
    appview: network.bsky.url,
    settle: `http://127.0.0.1:${judge.address().port}/settle`,
  })),
)
process.on('SIGTERM', () => process.exit(0))
