-- description: the fifty periods, buckets and operations with the slowest twentieth of requests
-- views: latency
SELECT
    period,
    bucket,
    operation,
    requests,
    round(p95_ms)::BIGINT AS p95_ms,
    slowest_ms,
    round(total_ms / nullif(requests, 0))::BIGINT AS mean_ms
FROM latency
WHERE requests >= 20
ORDER BY latency.p95_ms DESC, period, bucket, operation
LIMIT 50
