-- description: requests, refusals and bytes per hour of each requester and address, of each bucket
SELECT
    time_bucket(INTERVAL '1 hour', time) AS period,
    bucket,
    requester,
    remote_ip,
    count(*) AS requests,
    count(*) FILTER (WHERE http_status = 403) AS denied,
    sum(bytes_sent) AS bytes_sent
FROM s3_access
GROUP BY period, bucket, requester, remote_ip
