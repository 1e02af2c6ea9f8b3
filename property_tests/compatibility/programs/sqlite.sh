# 60,000 rows with indexes, joins, aggregates, a recursive query, updates, deletes and a vacuum.
cat >workload.sql <<'WORKLOAD'
PRAGMA journal_mode = WAL;
PRAGMA cache_size = 4000;
CREATE TABLE item(id INTEGER PRIMARY KEY, grp INTEGER, name TEXT, body BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
  INSERT INTO item SELECT i, i * 7919 % 997, 'name' || (i * 31 % 5003), zeroblob(i * 13 % 400) FROM n;
CREATE INDEX by_group ON item(grp, name);
CREATE INDEX by_name ON item(name);
SELECT count(*), sum(grp), sum(length(body)) FROM item;
SELECT grp, count(*), min(name), max(name) FROM item GROUP BY grp ORDER BY 2 DESC, 1 LIMIT 20;
SELECT count(*) FROM item a JOIN item b ON a.name = b.name WHERE a.grp < 40 AND b.grp > 900;
SELECT length(group_concat(name)) FROM (SELECT name FROM item ORDER BY name, id);
BEGIN;
UPDATE item SET name = upper(name) || id WHERE grp % 3 = 0;
DELETE FROM item WHERE grp % 5 = 0;
COMMIT;
SELECT count(*), sum(length(name)) FROM item;
VACUUM;
PRAGMA integrity_check;
WORKLOAD
under_test /usr/bin/sqlite3 store.db <workload.sql
