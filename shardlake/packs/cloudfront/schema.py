"""The columns of a CloudFront request, named as AWS names them where it writes Parquet.

Two columns differ from AWS: the seconds carry their unit in the name, and date and time are one `event_time`. Text is
kept as the log writes it, URL-encoded; what is decoded or derived stands in columns of its own.
"""

from typing import Final

import pyarrow as pa

from shardlake.adapters.arrow import plain_type
from shardlake.core.schema import Column, SourceSchema
from shardlake.packs.bots.columns import TOLD

DERIVED: Final = (
    Column("event_time", "TIMESTAMP", "when the server finished to respond, UTC; of a WebSocket, when it was closed"),
    Column("distribution", "VARCHAR", "the id in the name of the log file, else the domain that cs_host holds"),
)
LOGGED: Final = (
    Column("x_edge_location", "VARCHAR", "the edge: a code of three letters, then which of the place's sites"),
    Column("sc_bytes", "BIGINT", "bytes sent to the viewer, headers included"),
    Column("c_ip", "VARCHAR", "the viewer's address, or that of its proxy"),
    Column("cs_method", "VARCHAR", "the HTTP method"),
    Column("cs_host", "VARCHAR", "the distribution's domain"),
    Column("cs_uri_stem", "VARCHAR", "path of the URL, without query, as logged"),
    Column("sc_status", "VARCHAR", "HTTP status; 000 where the viewer left before the response"),
    Column("cs_referer", "VARCHAR", "the page that the request came from, as logged"),
    Column("cs_user_agent", "VARCHAR", "the user agent as logged: URL-encoded once or twice"),
    Column("cs_uri_query", "VARCHAR", "query of the URL, as logged"),
    Column("cs_cookie", "VARCHAR", "cookies, where the distribution logs them"),
    Column("x_edge_result_type", "VARCHAR", "how the edge answered: Hit, Miss, Error and so on, after the last byte"),
    Column("x_edge_request_id", "VARCHAR", "the request's id: the event id"),
    Column("x_host_header", "VARCHAR", "the host that the viewer asked for"),
    Column("cs_protocol", "VARCHAR", "http, https, ws or wss"),
    Column("cs_bytes", "BIGINT", "bytes received from the viewer, headers included"),
    Column("time_taken_s", "DOUBLE", "seconds from the request's first byte to the response's last one"),
    Column("x_forwarded_for", "VARCHAR", "the viewer's address as proxies told it; may be a list, or anything"),
    Column("ssl_protocol", "VARCHAR", "TLS version"),
    Column("ssl_cipher", "VARCHAR", "TLS cipher"),
    Column("x_edge_response_result_type", "VARCHAR", "how the edge meant to answer, before the response was sent"),
    Column("cs_protocol_version", "VARCHAR", "HTTP version"),
    Column("fle_status", "VARCHAR", "how field-level encryption went"),
    Column("fle_encrypted_fields", "BIGINT", "number of fields that field-level encryption encrypted"),
    Column("c_port", "BIGINT", "the viewer's port"),
    Column("time_to_first_byte_s", "DOUBLE", "seconds from the request's first byte to the response's first one"),
    Column("x_edge_detailed_result_type", "VARCHAR", "the result type in more detail"),
    Column("sc_content_type", "VARCHAR", "Content-Type of the response"),
    Column("sc_content_len", "BIGINT", "Content-Length of the response, in bytes"),
    Column("sc_range_start", "BIGINT", "first byte of a range response"),
    Column("sc_range_end", "BIGINT", "last byte of a range response"),
)
ENRICHED: Final = TOLD
SCHEMA: Final = SourceSchema("cloudfront", DERIVED + LOGGED + ENRICHED, "event_time", "x_edge_request_id")

# Few values a chunk, and known by their codes when they are computed: so they cost nothing to keep as codes.
CODED: Final = frozenset({"distribution", "cs_user_agent", "user_agent", "bot_category", "bot_name", "bot_evidence"})


def arrow_type(column: Column) -> pa.DataType:
    """The type in which a column of an enriched table is kept."""
    return pa.dictionary(pa.int32(), pa.string()) if column.name in CODED else plain_type(column)


def decoded_type(column: Column) -> pa.DataType:
    """The type in which the decoder gives a column: codes only for what it makes itself."""
    return arrow_type(column) if column in DERIVED else plain_type(column)


# What stands in a line, before the decoder tells the distribution: that one's id, where the line holds it.
READ_SCHEMA: Final = pa.schema([(c.name, plain_type(c)) for c in DERIVED + LOGGED])
DECODED_SCHEMA: Final = pa.schema([(c.name, decoded_type(c)) for c in DERIVED + LOGGED])
EVENT_SCHEMA: Final = pa.schema([(c.name, arrow_type(c)) for c in SCHEMA.columns])
