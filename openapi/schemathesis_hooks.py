"""Bodies that schemathesis does not write or read by itself."""

import json

import schemathesis


def _bytes(value):
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    to_bytes = getattr(value, "data", None)
    return to_bytes if isinstance(to_bytes, bytes) else json.dumps(value, default=str).encode()


@schemathesis.serializer("application/x-ndjson", "application/vnd.apache.arrow.stream", "application/octet-stream")
def raw_body(context, value):
    return _bytes(value)


@schemathesis.deserializer("application/octet-stream")
def raw_answer(context, response):
    return response.content.decode("latin-1")


@schemathesis.deserializer("application/openmetrics-text")
def text_answer(context, response):
    return response.content.decode()
