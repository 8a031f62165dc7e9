-- description: requests, errors and bytes per five minutes of each bucket, operation and status
SELECT
    time_bucket(INTERVAL '5 minutes', time) AS period,
    bucket,
    operation,
    http_status,
    count(*) AS requests,
    count(error_code) AS errors,
    sum(bytes_sent) AS bytes_sent
FROM s3_access
GROUP BY period, bucket, operation, http_status
