-- description: rejected packets and bytes per five minutes at each interface, by protocol and destination port
SELECT
    time_bucket(INTERVAL '5 minutes', "end") AS bucket,
    interface_id AS interface,
    protocol,
    dstport AS port,
    reject_reason AS reason,
    count(*) AS records,
    sum(packets) AS packets,
    sum(bytes) AS bytes
FROM vpc_flow
WHERE action = 'REJECT'
GROUP BY bucket, interface, protocol, port, reason
