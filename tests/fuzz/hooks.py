"""What the fuzzer is to know of this API: loaded by its command line."""

import schemathesis

# Parts of an upload are bytes like any others.
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
