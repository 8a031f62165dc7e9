-- description: failed requests per five minutes of each load balancer, target group, status and reason
SELECT
    time_bucket(INTERVAL '5 minutes', time) AS bucket,
    elb,
    target_group,
    elb_status_code,
    target_status_code,
    error_reason,
    classification_reason,
    count(*) AS requests,
    approx_count_distinct(client_ip) AS clients
FROM alb
WHERE elb_status_code >= 400 OR error_reason IS NOT NULL
GROUP BY bucket, elb, target_group, elb_status_code, target_status_code, error_reason, classification_reason
