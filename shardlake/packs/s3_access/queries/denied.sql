-- description: the fifty requesters and addresses that were refused most often
-- views: requesters
SELECT
    bucket,
    requester,
    remote_ip,
    sum(denied)::BIGINT AS denied,
    sum(requests)::BIGINT AS requests,
    max(period) FILTER (WHERE denied > 0) AS last_hour
FROM requesters
GROUP BY bucket, requester, remote_ip
HAVING sum(denied) > 0
ORDER BY denied DESC, bucket, requester NULLS FIRST, remote_ip
LIMIT 50
