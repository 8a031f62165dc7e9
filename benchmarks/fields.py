"""The fields of a CloudFront line: as its header names them, and by the short names of the plain programs."""

from typing import Final

FIELDS: Final = (
    "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent)"
    " cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken"
    " x-forwarded-for ssl-protocol ssl-cipher x-edge-response-result-type cs-protocol-version fle-status"
    " fle-encrypted-fields c-port time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len"
    " sc-range-start sc-range-end"
).split()
SHORT: Final = (
    "date time edge bytes ip method host stem status referer ua query cookie result request_id x_host proto cs_bytes"
    " seconds xff ssl cipher response_result proto_version fle enc port ttfb detail content_type content_length"
    " range_start range_end"
).split()
