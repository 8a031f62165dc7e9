-- description: of each bucket and operation, how many requests were refused or failed, the worst first
-- views: requests
SELECT
    bucket,
    operation,
    sum(requests)::BIGINT AS requests,
    coalesce(sum(requests) FILTER (WHERE http_status BETWEEN 400 AND 499), 0)::BIGINT AS errors_4xx,
    coalesce(sum(requests) FILTER (WHERE http_status >= 500), 0)::BIGINT AS errors_5xx,
    round(100 * coalesce(sum(requests) FILTER (WHERE http_status >= 400), 0) / sum(requests), 2) AS percent
FROM requests
GROUP BY bucket, operation
ORDER BY percent DESC, requests DESC, bucket, operation
