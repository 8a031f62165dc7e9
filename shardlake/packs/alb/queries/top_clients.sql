-- description: the fifty clients with the most requests
-- views: clients
SELECT
    client_ip,
    sum(requests)::BIGINT AS requests,
    sum(errors)::BIGINT AS errors,
    coalesce(sum(sent_bytes), 0)::BIGINT AS sent_bytes,
    max(bucket) AS last_seen
FROM clients
GROUP BY client_ip
ORDER BY requests DESC, client_ip NULLS FIRST
LIMIT 50
