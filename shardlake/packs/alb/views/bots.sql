-- description: requests and bytes per minute of each bot, and of people
SELECT
    time_bucket(INTERVAL '1 minute', time) AS bucket,
    elb,
    is_bot,
    bot_category,
    bot_name,
    count(*) AS requests,
    count(*) FILTER (WHERE elb_status_code >= 400) AS errors,
    sum(sent_bytes) AS sent_bytes
FROM alb
GROUP BY bucket, elb, is_bot, bot_category, bot_name
