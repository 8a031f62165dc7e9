-- description: the fifty minutes and target groups with the slowest twentieth of requests
-- views: latency
SELECT bucket, elb, target_group, requests, p50, p95, p99, slowest::DOUBLE AS slowest
FROM latency
WHERE requests >= 20
ORDER BY p95 DESC, bucket, elb, target_group NULLS FIRST
LIMIT 50
