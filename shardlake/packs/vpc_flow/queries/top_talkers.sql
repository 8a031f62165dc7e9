-- description: the fifty pairs of addresses with the most bytes in a day; what two interfaces log is counted at each
-- views: talkers
WITH knobs AS (SELECT INTERVAL '1 day' AS period)  -- up to the newest five minutes; copy this file to change it
SELECT
    src,
    dst,
    sum(records)::BIGINT AS records,
    sum(packets)::BIGINT AS packets,
    sum(bytes)::BIGINT AS bytes,
    coalesce(sum(bytes) FILTER (WHERE action = 'REJECT'), 0)::BIGINT AS rejected_bytes
FROM talkers, knobs
WHERE bucket > (SELECT max(bucket) FROM talkers) - period
GROUP BY src, dst
ORDER BY bytes DESC NULLS LAST, src, dst
LIMIT 50
