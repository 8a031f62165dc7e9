-- # SQL that is refused, each with its message. Blocks are separated by an empty line.

SELECT viewer, count(DISTINCT url) AS n FROM requests GROUP BY viewer
--> view.sql:1:16: count(DISTINCT x) has no partial form that merges; write approx_count_distinct(x), or make x a key of the view and count above it

SELECT viewer, sum(DISTINCT bytes) AS n FROM requests GROUP BY viewer
--> view.sql:1:16: sum(DISTINCT x) has no partial form that merges; make x a key of the view, and aggregate above it

SELECT viewer, sum(bytes) EXPORT_STATE FROM requests GROUP BY viewer
--> view.sql:1:27: EXPORT_STATE is no part of a view; leave it out: partial forms are derived

SELECT viewer, median(bytes) AS m FROM requests GROUP BY viewer
--> view.sql:1:16: median is not in the algebra: an exact median has no bounded state; write approx_quantile(x, 0.5)

SELECT viewer, quantile_cont(bytes, 0.9) AS m FROM requests GROUP BY viewer
--> view.sql:1:30: quantile_cont is not in the algebra: an exact quantile has no bounded state; write approx_quantile(x, q)

SELECT viewer, string_agg(url, ',') AS urls FROM requests GROUP BY viewer
--> view.sql:1:27: string_agg is not in the algebra: a concatenation depends on the order of the rows; make the value a key of the view

SELECT viewer, first(url) AS url FROM requests GROUP BY viewer
--> view.sql:1:16: first is not in the algebra: the first value depends on the order of the rows; write arg_min(x, at) for the earliest

SELECT viewer, sum(bytes ORDER BY time) AS n FROM requests GROUP BY viewer
--> view.sql:1:16: sum with ORDER BY is not in the algebra; leave it out, or write arg_min or arg_max

SELECT viewer, max(bytes, 3) AS n FROM requests GROUP BY viewer
--> view.sql:1:27: max with another argument (count) is not in the algebra; write max(x)

SELECT viewer, arg_max(url, bytes, 2) AS n FROM requests GROUP BY viewer
--> view.sql:1:36: arg_max with another argument (count) is not in the algebra; write arg_max(x, y)

SELECT viewer, sum(bytes IGNORE NULLS) AS n FROM requests GROUP BY viewer
--> view.sql:1:16: IGNORE NULLS is not in the algebra: its parts do not merge exactly; use one of count, count_if, sum, avg, min, max, bool_and, bool_or, var_samp, var_pop, stddev_samp, stddev_pop, arg_max, arg_min, approx_count_distinct, approx_quantile

SELECT viewer, count(bytes, url) AS n FROM requests GROUP BY viewer
--> view.sql:1:29: count with another argument (expressions) is not in the algebra; write count(x)

SELECT viewer, entropy(url) AS n FROM requests GROUP BY viewer
--> view.sql:1:16: entropy is not in the portable core of functions; use another function of the core, or apply it above the view

SELECT viewer, sum(url) AS n FROM requests GROUP BY viewer
--> view.sql:1:16: sum takes a number, not VARCHAR; convert it first: TRY_CAST(x AS BIGINT)

SELECT viewer, sum(is_bot) AS n FROM requests GROUP BY viewer
--> view.sql:1:16: sum takes a number, not BOOLEAN; write count_if(condition)

SELECT viewer, approx_quantile(bytes, 1.5) AS n FROM requests GROUP BY viewer
--> view.sql:1:32: the quantile 1.5 is greater than 1; write approx_quantile(x, 0.95)

SELECT viewer, approx_quantile(bytes, seconds) AS n FROM requests GROUP BY viewer
--> view.sql:1:32: the quantile is not a constant from 0 to 1; write approx_quantile(x, 0.95)

SELECT viewer, approx_count_distinct(seconds) AS n FROM requests GROUP BY viewer
--> view.sql:1:16: the text of a DOUBLE differs between engines, and so would its hash; convert it: TRY_CAST(x AS DECIMAL(18,3)), or TRY_CAST(floor(x) AS BIGINT)

SELECT viewer, sum(count(*)) AS n FROM requests GROUP BY viewer
--> view.sql:1:20: count stands where there is only one event; aggregate above the view when you query it

SELECT viewer, row_number() OVER () AS n FROM requests GROUP BY viewer
--> view.sql:1:16: a window function is not in the portable core of functions; apply it above the view when you query it

SELECT viewer, sum(bytes) OVER (PARTITION BY viewer) AS n FROM requests GROUP BY viewer
--> view.sql:1:16: a window function is not in the portable core of functions; apply it above the view when you query it

SELECT viewer, count(*) AS n FROM requests WHERE time > now() GROUP BY viewer
--> view.sql:1:57: now is not in the portable core of functions; the time of computing differs between layers; use the event's own time

SELECT viewer, count(*) AS n FROM requests WHERE day = current_date GROUP BY viewer
--> view.sql:1:56: current_date is not in the portable core of functions; the time of computing differs between layers; use the event's own time

SELECT viewer, count(*) AS n FROM requests WHERE random() < 0.1 GROUP BY viewer
--> view.sql:1:50: random is not in the portable core of functions; it differs each time; filter by the text of a column, such as its last digit

SELECT viewer, count(*) AS n FROM requests WHERE bytes > (SELECT 1) GROUP BY viewer
--> view.sql:1:66: a subquery is not in the portable core of functions; a view reads one source; join above the view when you query it

SELECT viewer, count(*) AS n FROM requests WHERE bytes IN (SELECT 1) GROUP BY viewer
--> view.sql:1:67: IN with another argument (query) is not in the portable core; leave it out

SELECT viewer, count(*) AS n FROM requests WHERE sum(bytes) > 1 GROUP BY viewer
--> view.sql:1:50: sum stands where there is only one event; aggregate above the view when you query it

SELECT viewer, count(*) AS n FROM requests WHERE list_contains([1, 2], status) GROUP BY viewer
--> view.sql:1:50: list_contains is not in the portable core of functions; use another function of the core, or apply it above the view

SELECT viewer, count(*) AS n FROM requests WHERE url GLOB 'a*' GROUP BY viewer
--> view.sql:1:50: GLOB is not in the portable core of functions; use another function of the core, or apply it above the view

SELECT viewer, count(*) AS n FROM requests WHERE url LIKE viewer GROUP BY viewer
--> view.sql:1:50: an argument of LIKE is not a text constant; write it in quotes

SELECT viewer, count(*) AS n FROM requests WHERE url NOT LIKE 'a!%' ESCAPE '!' GROUP BY viewer
--> view.sql:1:50: ESCAPE is not in the portable core of functions; use another function of the core, or apply it above the view

SELECT viewer, count(*) AS n FROM requests WHERE regexp_matches(url, 'a', 'i') GROUP BY viewer
--> view.sql:1:75: regexp_matches with another argument (flag) is not in the portable core; leave it out

SELECT viewer, count(*) AS n FROM requests WHERE url = 5 GROUP BY viewer
--> view.sql:1:50: VARCHAR is compared with INTEGER; convert one side with TRY_CAST

SELECT viewer, count(*) AS n FROM requests WHERE time > '2024-01-01' GROUP BY viewer
--> view.sql:1:50: TIMESTAMP is compared with VARCHAR; write TIMESTAMP '2024-01-01'

SELECT viewer, count(*) AS n FROM requests WHERE time > TIMESTAMP '2024-13-01' GROUP BY viewer
--> view.sql:1:67: '2024-13-01' is not a TIMESTAMP; write TIMESTAMP '2024-12-31 23:59:59' or DATE '2024-12-31'

SELECT viewer, count(*) AS n FROM requests WHERE bytes GROUP BY viewer
--> view.sql:1:50: WHERE takes a condition, not BIGINT; write x <> 0

SELECT viewer, sum(CAST(url AS BIGINT)) AS n FROM requests GROUP BY viewer
--> view.sql:1:25: a CAST of VARCHAR to BIGINT can fail on one event; write TRY_CAST(x AS BIGINT)

SELECT viewer, sum(TRY_CAST(seconds AS BIGINT)) AS n FROM requests GROUP BY viewer
--> view.sql:1:29: engines round a DOUBLE to BIGINT in different ways; write TRY_CAST(floor(x) AS BIGINT), or round, or ceil

SELECT viewer, sum(TRY_CAST(url AS HUGEINT)) AS n FROM requests GROUP BY viewer
--> view.sql:1:29: HUGEINT is not a type of a view; use one of BOOLEAN, INTEGER, BIGINT, DOUBLE, VARCHAR, TIMESTAMP, DATE, DECIMAL(p,s)

SELECT viewer, sum(bytes // status) AS n FROM requests GROUP BY viewer
--> view.sql:1:20: // by zero is an error, which one event could cause; write x // nullif(y, 0)

SELECT viewer, sum(bytes % 0) AS n FROM requests GROUP BY viewer
--> view.sql:1:20: % by zero is an error, which one event could cause; write x % nullif(y, 0)

SELECT viewer, sum(bytes ^ 2) AS n FROM requests GROUP BY viewer
--> view.sql:1:20: power is not in the portable core of functions; use another function of the core, or apply it above the view

SELECT viewer, sum(bytes & 255) AS n FROM requests GROUP BY viewer
--> view.sql:1:20: & is not in the portable core of functions; use another function of the core, or apply it above the view

SELECT viewer, sum(99999999999999999999) AS n FROM requests GROUP BY viewer
--> view.sql:1:20: 99999999999999999999 is greater than a BIGINT; use a smaller number

SELECT viewer, max(time AT TIME ZONE 'UTC') AS n FROM requests GROUP BY viewer
--> view.sql:1:20: AT TIME ZONE is not in the portable core of functions; use another function of the core, or apply it above the view

SELECT viewer, max(strftime(time, '%Y')) AS n FROM requests GROUP BY viewer
--> view.sql:1:20: strftime is not in the portable core of functions; use another function of the core, or apply it above the view

SELECT time_bucket(INTERVAL '1 month', time) AS m, count(*) AS n FROM requests GROUP BY 1
--> view.sql:1:8: the width of a time_bucket is not a constant, fixed interval; months differ in length: write date_trunc('month', x)

SELECT time_bucket(INTERVAL (status) MINUTE, time) AS m, count(*) AS n FROM requests GROUP BY 1
--> view.sql:1:8: the width of a time_bucket is not a constant, fixed interval; write time_bucket(INTERVAL '5 minutes', x) in seconds, minutes, hours, days or weeks

SELECT time_bucket(INTERVAL '1 hour', time, INTERVAL '5 minutes') AS m, count(*) AS n FROM requests GROUP BY 1
--> view.sql:1:20: time_bucket with another argument (unit) is not in the portable core; leave it out

SELECT time_bucket(INTERVAL '1 day', day) AS m, count(*) AS n FROM requests GROUP BY 1
--> view.sql:1:8: time_bucket takes TIMESTAMP, not DATE; write it over the event's time; a DATE with CAST(x AS TIMESTAMP)

SELECT date_trunc('century', time) AS m, count(*) AS n FROM requests GROUP BY 1
--> view.sql:1:8: date_trunc to CENTURY is not in the portable core; use one of second, minute, hour, day, week, month, quarter, year

SELECT seconds, count(*) AS n FROM requests GROUP BY seconds
--> view.sql:1:8: a DOUBLE key differs by a rounding between engines; write TRY_CAST(floor(x) AS BIGINT) or TRY_CAST(x AS DECIMAL(18,3))

SELECT 'all' AS everything, count(*) AS n FROM requests GROUP BY 1
--> view.sql:1:8: a constant is no key; use a column, or leave it out

SELECT count(*) AS n FROM requests
--> view.sql:1:8: a view needs at least one key; add GROUP BY with a time_bucket or another column

SELECT count(*) AS n FROM requests GROUP BY ALL
--> view.sql:1:36: a view needs at least one key; add a time_bucket or another column

SELECT viewr, count(*) AS n FROM requests GROUP BY viewr
--> view.sql:1:8: requests has no column viewr; did you mean viewer?

SELECT viewer, count(*) AS n FROM requests GROUP BY edge
--> view.sql:1:53: this key is not in the SELECT list; select it too: every key is a column of the view

SELECT viewer, url, count(*) AS n FROM requests GROUP BY viewer
--> view.sql:1:16: url is neither a key nor inside an aggregate; add it to GROUP BY, or write min(url)

SELECT lower(viewer) AS viewer, count(*) AS n FROM requests GROUP BY viewer
--> view.sql:1:70: viewer is both a column and the name of an expression; write GROUP BY ALL

SELECT viewer, count(*) AS n FROM requests GROUP BY 3
--> view.sql:1:53: GROUP BY 3 is not the number of a column; count from 1 to 2

SELECT viewer, count(*) AS n FROM requests GROUP BY 1, 2
--> view.sql:1:16: an aggregate cannot be a key; leave it out of GROUP BY

SELECT viewer, edge, count(*) AS n FROM requests GROUP BY ROLLUP (viewer, edge)
--> view.sql:1:67: ROLLUP is not one set of keys; write one view for each set

SELECT viewer, count(*) FROM requests GROUP BY viewer
--> view.sql:1:16: this column has no name; name it with AS

SELECT viewer, count(*) AS viewer FROM requests GROUP BY viewer
--> view.sql:1:16: two columns are named viewer; name one of them otherwise with AS

SELECT viewer, count(*) AS _n FROM requests GROUP BY viewer
--> view.sql:1:28: _n: names with a leading _ are reserved; choose another name

SELECT viewer, count(*) AS "a b" FROM requests GROUP BY viewer
--> view.sql:1:28: 'a b' is not a name that every engine can hold; use letters, digits and _

SELECT viewer, 5 AS five FROM requests GROUP BY viewer
--> view.sql:1:16: a constant is not computed from events; add it above the view

SELECT *, count(*) AS n FROM requests GROUP BY ALL
--> view.sql:1:8: a star does not say what the view holds; name the columns

SELECT _shard, count(*) AS n FROM requests GROUP BY _shard
--> view.sql:1:8: _shard says how the event was read, which differs when it is read again; use a column of requests

SELECT viewer, count(*) AS n FROM requests GROUP BY viewer HAVING count(*) > 1
--> view.sql:1:67: HAVING cannot be decided from a part of the events; leave it out, and apply it above the view when you query it

SELECT viewer, count(*) AS n FROM requests GROUP BY viewer ORDER BY n
--> view.sql:1:69: a view has no order; leave it out, and apply it above the view when you query it

SELECT viewer, count(*) AS n FROM requests GROUP BY viewer LIMIT 10
--> view.sql:1:66: a LIMIT cannot be decided from a part of the events; leave it out, and apply it above the view when you query it

SELECT viewer, count(*) AS n FROM requests GROUP BY viewer QUALIFY n > 1
--> view.sql:1:68: QUALIFY cannot be decided from a part of the events; leave it out, and apply it above the view when you query it

SELECT DISTINCT viewer, count(*) AS n FROM requests GROUP BY viewer
--> view.sql:1:8: SELECT DISTINCT is not needed: every key occurs once; leave DISTINCT out

SELECT viewer, count(*) AS n FROM requests JOIN edges USING (edge) GROUP BY viewer
--> view.sql:1:49: a view reads one source and joins nothing; join above the view when you query it

SELECT viewer, count(*) AS n FROM requests, edges GROUP BY viewer
--> view.sql:1:45: a view reads one source and joins nothing; join above the view when you query it

SELECT viewer, count(*) AS n FROM requests r GROUP BY viewer
--> view.sql:1:35: a source is only named, without alias; write FROM requests

SELECT viewer, count(*) AS n FROM other GROUP BY viewer
--> view.sql:1:35: other is not the source of this view; write FROM requests

SELECT viewer, count(*) AS n FROM main.requests GROUP BY viewer
--> view.sql:1:35: a source is only named, without db; write FROM requests

SELECT viewer, count(*) AS n FROM read_csv('requests.csv') GROUP BY viewer
--> view.sql:1:35: a view reads one source by its name; write FROM requests

SELECT viewer, count(*) AS n FROM (SELECT * FROM requests) GROUP BY viewer
--> view.sql:1:43: a view reads one source by its name; write FROM requests

SELECT viewer, count(*) AS n FROM requests USING SAMPLE 10% GROUP BY viewer
--> view.sql:1:57: a sample is random; leave it out, or filter by a hash of a column

WITH r AS (SELECT 1) SELECT viewer, count(*) AS n FROM requests GROUP BY viewer
--> view.sql:1:6: a view has no WITH clause; write SELECT keys, aggregates FROM source [WHERE ...] GROUP BY keys

SELECT viewer, count(*) AS n FROM requests GROUP BY viewer UNION ALL SELECT viewer, 1 AS n FROM requests
--> view.sql:1:8: a view is a SELECT, not UNION; write SELECT keys, aggregates FROM source [WHERE ...] GROUP BY keys

SELECT viewer, count(*) AS n FROM requests GROUP BY viewer; SELECT 1
--> view.sql:1:1: a view is one statement, not 2; write SELECT keys, aggregates FROM source [WHERE ...] GROUP BY keys

DELETE FROM requests
--> view.sql:1:13: a view is a SELECT, not DELETE; write SELECT keys, aggregates FROM source [WHERE ...] GROUP BY keys

SELECT viewer, sum(bytes AS n FROM requests GROUP BY viewer
--> view.sql:1:26: syntax error: Expecting ); write SELECT keys, aggregates FROM source [WHERE ...] GROUP BY keys

SELECT viewer, count(*) AS n FROM requests WHERE url = '{events}' GROUP BY viewer
--> view.sql:1:56: {name} in braces has a meaning in the forms of a view; split it: '{' || 'name}'

-- descripton: a setting with a spelling mistake
SELECT viewer, count(*) AS n FROM requests GROUP BY viewer
--> view.sql:1:1: descripton is no setting of a view; known settings: description

-- description: one
-- description: two
SELECT viewer, count(*) AS n FROM requests GROUP BY viewer
--> view.sql:2:1: description is set twice; keep one of the lines

SELECT viewer, count(*) AS n FROM requests WHERE url = ? GROUP BY viewer
--> view.sql:1:50: a parameter is not in the portable core of functions; use another function of the core, or apply it above the view

SELECT viewer, sum(x -> x + 1) AS n FROM requests GROUP BY viewer
--> view.sql:1:20: a lambda is not in the portable core of functions; use another function of the core, or apply it above the view

SELECT viewer, COLUMNS('a.*') FROM requests GROUP BY viewer
--> view.sql:1:16: this column has no name; name it with AS

SELECT viewer, count(COLUMNS(*)) AS n FROM requests GROUP BY viewer
--> view.sql:1:22: columns is not in the portable core of functions; use another function of the core, or apply it above the view

SELECT viewer, sum(bytes) FILTER (WHERE bytes) AS n FROM requests GROUP BY viewer
--> view.sql:1:41: FILTER takes a condition, not BIGINT; write x <> 0

SELECT viewer, any_value(url) AS n FROM requests GROUP BY viewer
--> view.sql:1:26: any_value is not in the algebra: which value it takes is not determined; write min(x), or arg_max(x, at) for the latest

SELECT viewer, mean(bytes) AS n FROM requests GROUP BY viewer
--> view.sql:1:16: mean is not in the algebra: it is another name of avg; write avg(x)

SELECT viewer, approx_quantile(seconds, [0.1, 0.2]) AS n FROM requests GROUP BY viewer
--> view.sql:1:42: a list is not in the portable core of functions; use another function of the core, or apply it above the view

SELECT viewer, count(*) AS n FROM requests WHERE bytes > 1 AND (SELECT true) GROUP BY viewer
--> view.sql:1:50: a subquery is not in the portable core of functions; a view reads one source; join above the view when you query it

SELECT viewer, sum() AS n FROM requests GROUP BY viewer
--> view.sql:1:20: syntax error: an argument or a clause is missing; write SELECT keys, aggregates FROM source [WHERE ...] GROUP BY keys

SELECT viewer, sum(bytes ** 2) FILTER (WHERE url COLLATE nocase = 'a') AS n FROM requests GROUP BY viewer
--> view.sql:1:46: COLLATE is not in the portable core of functions; use another function of the core, or apply it above the view

SELECT viewer, count(*) AS n FROM requests WHERE time > TIMESTAMP '2024-01-01' - INTERVAL '1 day' GROUP BY viewer
--> view.sql:1:82: INTERVAL is not in the portable core of functions; use another function of the core, or apply it above the view
