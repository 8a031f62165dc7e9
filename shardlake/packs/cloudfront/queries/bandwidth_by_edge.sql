-- description: requests and bytes that each edge location sent of each distribution, and its share of all bytes
-- views: bandwidth
SELECT
    distribution,
    edge,
    sum(requests)::BIGINT AS requests,
    coalesce(sum(bytes), 0)::BIGINT AS bytes,
    round(100 * sum(bytes) / nullif(sum(sum(bytes)) OVER (), 0), 2) AS percent
FROM bandwidth
GROUP BY distribution, edge
ORDER BY bytes DESC, distribution, edge
