-- description: of each load balancer and target group, how many requests failed, and at whom, the worst first
-- views: traffic
SELECT
    elb,
    target_group,
    sum(requests)::BIGINT AS requests,
    sum(elb_4xx)::BIGINT AS elb_4xx,
    sum(elb_5xx)::BIGINT AS elb_5xx,
    sum(target_5xx)::BIGINT AS target_5xx,
    sum(unanswered)::BIGINT AS unanswered,
    round(100 * sum(elb_5xx) / sum(requests), 2) AS percent_5xx
FROM traffic
GROUP BY elb, target_group
ORDER BY percent_5xx DESC, requests DESC, elb, target_group NULLS FIRST
