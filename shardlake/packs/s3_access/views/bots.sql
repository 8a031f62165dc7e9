-- description: requests and bytes per five minutes of each bot, and of people, of each bucket
SELECT
    time_bucket(INTERVAL '5 minutes', time) AS period,
    bucket,
    is_bot,
    bot_category,
    bot_name,
    count(*) AS requests,
    sum(bytes_sent) AS bytes_sent
FROM s3_access
GROUP BY period, bucket, is_bot, bot_category, bot_name
