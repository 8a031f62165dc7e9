-- description: the fifty prefixes of keys that sent the most bytes, and what was done below them
-- views: prefixes
SELECT
    bucket,
    prefix,
    sum(requests)::BIGINT AS requests,
    sum(reads)::BIGINT AS reads,
    sum(writes)::BIGINT AS writes,
    sum(deletes)::BIGINT AS deletes,
    coalesce(sum(bytes_sent), 0)::BIGINT AS bytes_sent
FROM prefixes
GROUP BY bucket, prefix
ORDER BY bytes_sent DESC, requests DESC, bucket, prefix
LIMIT 50
