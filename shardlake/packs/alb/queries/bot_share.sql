-- description: requests and bytes of people and of each kind of bot, and their share of all requests
-- views: bots
SELECT
    coalesce(bot_category, 'people') AS kind,
    sum(requests)::BIGINT AS requests,
    coalesce(sum(sent_bytes), 0)::BIGINT AS sent_bytes,
    round(100 * sum(requests) / sum(sum(requests)) OVER (), 2) AS percent
FROM bots
GROUP BY kind
ORDER BY requests DESC, kind
