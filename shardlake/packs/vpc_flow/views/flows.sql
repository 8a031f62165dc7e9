-- description: bytes and packets per five minutes of each flow at each interface that saw it, in each direction
SELECT
    time_bucket(INTERVAL '5 minutes', "end") AS bucket,
    coalesce(interface_id, tgw_attachment_id, resource_id) AS interface,
    flow_direction AS direction,
    coalesce(pkt_srcaddr, srcaddr) AS src,
    coalesce(pkt_dstaddr, dstaddr) AS dst,
    srcport,
    dstport,
    protocol,
    count(*) AS records,
    sum(packets) AS packets,
    sum(bytes) AS bytes,
    sum(packets) FILTER (WHERE action = 'REJECT') AS rejected_packets,
    sum(bytes) FILTER (WHERE action = 'REJECT') AS rejected_bytes
FROM vpc_flow
WHERE coalesce(log_status, 'OK') = 'OK'
GROUP BY bucket, interface, direction, src, dst, srcport, dstport, protocol
