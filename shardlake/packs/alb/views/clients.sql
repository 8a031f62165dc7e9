-- description: requests, errors and bytes per five minutes of each client
SELECT
    time_bucket(INTERVAL '5 minutes', time) AS bucket,
    elb,
    client_ip,
    count(*) AS requests,
    count(*) FILTER (WHERE elb_status_code >= 400) AS errors,
    sum(sent_bytes) AS sent_bytes
FROM alb
GROUP BY bucket, elb, client_ip
