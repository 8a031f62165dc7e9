-- description: the fifty destination ports with the most rejected packets in a day, and at how many interfaces
-- views: rejected
WITH knobs AS (SELECT INTERVAL '1 day' AS period)  -- up to the newest five minutes; copy this file to change it
SELECT
    protocol,
    port,
    reason,
    count(DISTINCT interface) AS interfaces,
    sum(records)::BIGINT AS records,
    sum(packets)::BIGINT AS packets,
    max(bucket) AS last_seen
FROM rejected, knobs
WHERE bucket > (SELECT max(bucket) FROM rejected) - period
GROUP BY protocol, port, reason
ORDER BY packets DESC NULLS LAST, protocol, port, reason
LIMIT 50
