-- description: requests and bytes per minute of each bot, and of people
SELECT
    time_bucket(INTERVAL '1 minute', event_time) AS bucket,
    is_bot,
    bot_category,
    bot_name,
    count(*) AS requests,
    sum(sc_bytes) AS bytes
FROM cloudfront
GROUP BY bucket, is_bot, bot_category, bot_name
