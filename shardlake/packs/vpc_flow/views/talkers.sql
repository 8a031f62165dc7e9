-- description: bytes and packets per five minutes from each address to each other, accepted and rejected
SELECT
    time_bucket(INTERVAL '5 minutes', "end") AS bucket,
    -- the packet's own addresses, where the log has them: the others are the interface's primary ones
    coalesce(pkt_srcaddr, srcaddr) AS src,
    coalesce(pkt_dstaddr, dstaddr) AS dst,
    action,
    count(*) AS records,
    sum(packets) AS packets,
    sum(bytes) AS bytes
FROM vpc_flow
WHERE coalesce(log_status, 'OK') = 'OK'
GROUP BY bucket, src, dst, action
