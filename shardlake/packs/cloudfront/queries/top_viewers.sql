-- description: the fifty viewers with the most requests
-- views: viewers
SELECT viewer, sum(requests)::BIGINT AS requests, sum(bytes)::BIGINT AS bytes, max(bucket) AS last_seen
FROM viewers
GROUP BY viewer
ORDER BY requests DESC, viewer
LIMIT 50
