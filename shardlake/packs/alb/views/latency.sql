-- description: how many seconds targets took, per minute of each load balancer and target group
SELECT
    time_bucket(INTERVAL '1 minute', time) AS bucket,
    elb,
    target_group,
    count(*) AS requests,
    sum(target_processing_time) AS target_seconds,
    max(target_processing_time) AS slowest,
    approx_quantile(target_processing_time, 0.5) AS p50,
    approx_quantile(target_processing_time, 0.95) AS p95,
    approx_quantile(target_processing_time, 0.99) AS p99,
    approx_quantile(duration, 0.95) AS duration_p95
FROM alb
-- -1 is no time, and how long a WebSocket was open is not a response's
WHERE target_processing_time >= 0 AND type NOT IN ('ws', 'wss')
GROUP BY bucket, elb, target_group
