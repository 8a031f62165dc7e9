-- # Each text is a view that is accepted over events and refused over a stream of changes, then the message.

SELECT edge, min(bytes) AS low FROM requests GROUP BY edge
--> view.sql:1:18: min has no partial form over a stream of changes: when its row is taken back, what comes next is not known; make the value a key of the view, and aggregate above it

SELECT edge, max("time") AS latest FROM requests GROUP BY edge
--> view.sql:1:18: max has no partial form over a stream of changes: when its row is taken back, what comes next is not known; make the value a key of the view, and aggregate above it

SELECT edge, count(*) AS n, arg_max(url, "time") AS latest FROM requests GROUP BY edge
--> view.sql:1:37: arg_max has no partial form over a stream of changes: when its row is taken back, what comes next is not known; make the value a key of the view, and aggregate above it

SELECT edge, arg_min(url, "time") FILTER (WHERE status = 200) AS earliest FROM requests GROUP BY edge
--> view.sql:1:22: arg_min has no partial form over a stream of changes: when its row is taken back, what comes next is not known; make the value a key of the view, and aggregate above it

SELECT edge, approx_count_distinct(viewer) AS viewers FROM requests GROUP BY edge
--> view.sql:1:14: approx_count_distinct has no partial form over a stream of changes: when a value is taken back, what its register held before is not known; make the value a key of the view, and aggregate above it

SELECT edge, stddev_samp(seconds) AS spread FROM requests GROUP BY edge
--> view.sql:1:14: stddev_samp of doubles cannot give a value back: the error would have no bound; convert it: TRY_CAST(x AS DECIMAL(18,3))
