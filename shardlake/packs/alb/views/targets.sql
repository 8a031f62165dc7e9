-- description: requests, errors and seconds per five minutes of each target
SELECT
    time_bucket(INTERVAL '5 minutes', time) AS bucket,
    elb,
    target_group,
    target,
    count(*) AS requests,
    count(*) FILTER (WHERE target_status_code >= 500) AS target_5xx,
    count(*) FILTER (WHERE target_processing_time >= 0) AS answered,
    sum(target_processing_time) FILTER (WHERE target_processing_time >= 0) AS target_seconds,
    max(target_processing_time) FILTER (WHERE target_processing_time >= 0) AS slowest
FROM alb
WHERE target IS NOT NULL
GROUP BY bucket, elb, target_group, target
