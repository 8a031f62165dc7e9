-- description: the fifty targets that take the longest to respond on average
-- views: targets
SELECT
    elb,
    target_group,
    target,
    sum(answered)::BIGINT AS answered,
    round((sum(target_seconds) / sum(answered))::DOUBLE, 6) AS mean_seconds,
    max(slowest)::DOUBLE AS slowest_seconds,
    sum(target_5xx)::BIGINT AS target_5xx
FROM targets
GROUP BY elb, target_group, target
HAVING sum(answered) > 0
ORDER BY mean_seconds DESC, elb, target_group NULLS FIRST, target
LIMIT 50
