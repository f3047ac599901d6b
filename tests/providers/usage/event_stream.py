"""Messages of Amazon's event stream, made for tests."""

from binascii import crc32


def message(kind: str, payload: bytes, message_type: str = "event") -> bytes:
    """One message with the headers that Bedrock sends."""
    name = b":event-type" if message_type == "event" else b":exception-type"
    headers = b"".join(
        bytes((len(key),)) + key + b"\x07" + len(value).to_bytes(2) + value
        for key, value in (
            (name, kind.encode()),
            (b":content-type", b"application/json"),
            (b":message-type", message_type.encode()),
        )
    )
    prelude = (16 + len(headers) + len(payload)).to_bytes(4) + len(headers).to_bytes(4)
    data = prelude + crc32(prelude).to_bytes(4) + headers + payload
    return data + crc32(data).to_bytes(4)
