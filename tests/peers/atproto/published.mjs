// Whether what stands on stdin is an answer to METHOD by the lexicons that Bluesky publishes; for fakes of what nobody serves.
import { readFileSync } from 'node:fs'
import { lexicons } from '@atproto/api'

lexicons.assertValidXrpcOutput(process.argv[2], JSON.parse(readFileSync(0, 'utf8')))
