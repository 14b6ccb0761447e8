// The official Bluesky servers, all of them on this machine: PLC, PDS and AppView, as their makers test them.
// Says where they are in one line of JSON; GET /settle answers once the AppView has read all that the PDS told, and POST /client what
// the PDS thinks of a client's document, as if it had fetched it.
import dns from 'node:dns'
import { createServer } from 'node:http'
import { json } from 'node:stream/consumers'
import { TestNetwork } from '@atproto/dev-env'
import { oauthClientMetadataSchema } from '@atproto/oauth-types'

// A name of the open internet that stands for this machine: where a shop's server would be reached from outside.
const { lookup } = dns
dns.lookup = (host, ...more) => lookup(host === 'plait.no-such-shop.com' ? '127.0.0.1' : host, ...more)

const network = await TestNetwork.create({ pds: { hostname: 'localhost' }, bsky: {}, plc: {} })
const judge = createServer(async (asked, answer) => {
  try {
    if (asked.url === '/client') {
      const told = oauthClientMetadataSchema.parse(await json(asked))
      network.pds.ctx.oauthProvider.clientManager.validateClientMetadata(told.client_id, told)
    } else {
      await network.processAll(300_000)
    }
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
