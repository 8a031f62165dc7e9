-- description: how many milliseconds requests took, per five minutes of each bucket and operation
SELECT
    time_bucket(INTERVAL '5 minutes', time) AS period,
    bucket,
    operation,
    count(total_time) AS requests,
    sum(total_time) AS total_ms,
    max(total_time) AS slowest_ms,
    approx_quantile(total_time, 0.5) AS p50_ms,
    approx_quantile(total_time, 0.95) AS p95_ms,
    approx_quantile(total_time, 0.99) AS p99_ms,
    approx_quantile(turn_around_time, 0.95) AS turn_around_p95_ms
FROM s3_access
GROUP BY period, bucket, operation
