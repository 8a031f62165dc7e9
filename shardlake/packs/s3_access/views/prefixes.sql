-- description: what is read, written and deleted below each prefix of keys, per hour of each bucket
SELECT
    time_bucket(INTERVAL '1 hour', time) AS period,
    bucket,
    prefix,
    count(*) AS requests,
    count(*) FILTER (WHERE regexp_matches(operation, '[.](GET|HEAD)[.]')) AS reads,
    count(*) FILTER (WHERE regexp_matches(operation, '[.](PUT|POST|COPY)[.]')) AS writes,
    count(*) FILTER (WHERE regexp_matches(operation, '[.](DELETE|EXPIRE)[.]')) AS deletes,
    sum(bytes_sent) AS bytes_sent
FROM s3_access
WHERE key IS NOT NULL
GROUP BY period, bucket, prefix
