-- description: requests, bytes and statuses per minute of each load balancer and target group
SELECT
    time_bucket(INTERVAL '1 minute', time) AS bucket,
    elb,
    target_group,
    count(*) AS requests,
    sum(received_bytes) AS received_bytes,
    sum(sent_bytes) AS sent_bytes,
    count(*) FILTER (WHERE elb_status_code BETWEEN 400 AND 499) AS elb_4xx,
    count(*) FILTER (WHERE elb_status_code >= 500) AS elb_5xx,
    count(*) FILTER (WHERE target_status_code BETWEEN 400 AND 499) AS target_4xx,
    count(*) FILTER (WHERE target_status_code >= 500) AS target_5xx,
    -- no target answered
    count(*) FILTER (WHERE target_processing_time < 0) AS unanswered
FROM alb
GROUP BY bucket, elb, target_group
