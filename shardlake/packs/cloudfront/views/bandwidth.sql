-- description: bytes and requests per minute of each distribution at each edge location
SELECT
    time_bucket(INTERVAL '1 minute', event_time) AS bucket,
    distribution,
    x_edge_location AS edge,
    count(*) AS requests,
    sum(sc_bytes) AS bytes
FROM cloudfront
GROUP BY bucket, distribution, edge
