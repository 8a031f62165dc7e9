-- description: failed requests per five minutes of each bucket, error code, status, operation and prefix of keys
SELECT
    time_bucket(INTERVAL '5 minutes', time) AS period,
    bucket,
    error_code,
    http_status,
    operation,
    prefix,
    count(*) AS requests,
    approx_count_distinct(remote_ip) AS addresses
FROM s3_access
WHERE error_code IS NOT NULL OR http_status >= 400
GROUP BY period, bucket, error_code, http_status, operation, prefix
