-- description: the fifty pairs of addresses with the most bytes in a day; a flow logged by two interfaces counts once
-- views: flows
-- A flow is a source and a destination, with their ports and protocol. Each interface's bytes are summed over the whole
-- range first, apart for what enters and what leaves it, and the greatest of these sums is the flow's: all interfaces
-- saw the same packets, but in capture windows of their own, so that the greatest of each window would be too much.
-- A flow that one interface logged stays. Addresses are the packets' where the log has them (pkt_srcaddr, pkt_dstaddr);
-- what a NAT gateway sends on under another address is another flow.
WITH knobs AS (SELECT INTERVAL '1 day' AS period),  -- up to the newest five minutes; copy this file to change it
seen AS (
    SELECT
        src, dst, srcport, dstport, protocol, interface, direction,
        sum(packets) AS packets,
        sum(bytes) AS bytes,
        sum(rejected_bytes) AS rejected_bytes
    FROM flows, knobs
    WHERE bucket > (SELECT max(bucket) FROM flows) - period
    GROUP BY ALL
),
flow AS (
    SELECT
        src, dst, srcport, dstport, protocol,
        count(DISTINCT interface) AS interfaces,
        max(packets) AS packets,
        max(bytes) AS bytes,
        max(rejected_bytes) AS rejected_bytes
    FROM seen
    GROUP BY ALL
)
SELECT
    src,
    dst,
    count(*) AS flows,
    max(interfaces) AS interfaces,
    sum(packets)::BIGINT AS packets,
    sum(bytes)::BIGINT AS bytes,
    coalesce(sum(rejected_bytes), 0)::BIGINT AS rejected_bytes
FROM flow
GROUP BY src, dst
ORDER BY bytes DESC NULLS LAST, src, dst
LIMIT 50
