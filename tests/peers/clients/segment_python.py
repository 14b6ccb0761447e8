"""Makes the calls of argv[1] {host, key, calls} with Segment's own client for Python."""

import json
import sys

from segment.analytics.client import Client

told = json.loads(sys.argv[1])
failed = []
client = Client(
    told["key"],
    host=told["host"],
    upload_size=5,
    upload_interval=0.1,
    gzip=told.get("gzip", False),
    on_error=lambda error, batch: failed.append(error),
)
for call in told["calls"]:
    message = {
        {"userId": "user_id", "anonymousId": "anonymous_id", "previousId": "previous_id"}.get(k, k): v
        for k, v in call.items()
    }
    getattr(client, message.pop("call"))(**message)
client.flush()
client.shutdown()
sys.exit(repr(failed) if failed else 0)
