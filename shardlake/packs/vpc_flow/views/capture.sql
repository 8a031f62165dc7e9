-- description: records per five minutes at each interface: OK, NODATA (no traffic) or SKIPDATA (not captured)
SELECT
    time_bucket(INTERVAL '5 minutes', "end") AS bucket,
    coalesce(interface_id, tgw_attachment_id, resource_id) AS interface,
    log_status AS status,
    count(*) AS records,
    min("start") AS first_start,
    max("end") AS last_end
FROM vpc_flow
GROUP BY bucket, interface, status
