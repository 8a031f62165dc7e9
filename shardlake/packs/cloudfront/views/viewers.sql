-- description: requests and bytes per five minutes of each viewer
SELECT
    time_bucket(INTERVAL '5 minutes', event_time) AS bucket,
    c_ip AS viewer,
    count(*) AS requests,
    sum(sc_bytes) AS bytes
FROM cloudfront
GROUP BY bucket, viewer
