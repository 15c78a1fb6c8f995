# PostgreSQL: pgbench with exact sums, TLS, a crash in the middle, dump and restore.
B=$(echo /usr/lib/postgresql/*/bin)
chmod 755 .; mkdir pg && chown postgres pg
pg() { setpriv --reuid postgres --regid postgres --init-groups env HOME=/tmp PGPORT=21532 PGHOST="$PWD/pg" PATH="$B:$PATH" "$@"; }
pg initdb -D pg/data -A trust --no-sync >/dev/null
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout pg/data/server.key -out pg/data/server.crt 2>/dev/null
chown postgres pg/data/server.*; chmod 600 pg/data/server.key
printf "port=21532\nlisten_addresses='127.0.0.1'\nunix_socket_directories='%s/pg'\nssl=on\nshared_buffers=32MB\n" "$PWD" >>pg/data/postgresql.conf
start() { pg pg_ctl -D pg/data -l pg/log -w -t 120 start >/dev/null; }
start; check "it starts" "0" "$?"
q() { pg psql -q -At -d bench -c "$1"; }
pg createdb bench
pg pgbench -q -i -s 1 bench 2>/dev/null
check "a hundred thousand accounts" "100000" "$(q 'select count(*) from pgbench_accounts')"
pg pgbench -n -c 4 -j 2 -t 250 bench >out 2>&1
check "pgbench: all transactions, none failed" "1000/1000 0" \
    "$(awk '/actually processed/{p=$NF} /failed transactions/{f=$5} END{print p,f}' out)"
check "every sum agrees" "1000|t|t|t" "$(q 'select count(*), sum(delta)=(select sum(abalance) from pgbench_accounts),
    sum(delta)=(select sum(tbalance) from pgbench_tellers), sum(delta)=(select sum(bbalance) from pgbench_branches) from pgbench_history')"
check "TLS" "t" "$(pg psql -q -At "host=127.0.0.1 sslmode=require dbname=bench" -c 'select ssl from pg_stat_ssl where pid=pg_backend_pid()')"
pg pgbench -n -c 4 -j 2 -t 250 -M prepared -S -h 127.0.0.1 bench >out 2>&1
check "pgbench by TCP, prepared" "1000/1000" "$(awk '/actually processed/{p=$NF} END{print p}' out)"
q "create table t as select g, md5(g::text) m from generate_series(1, 50000) g; create index on t(m)" >/dev/null
check "a parallel query" "50000|1250025000" "$(q "set max_parallel_workers_per_gather=2; set parallel_setup_cost=0; set parallel_tuple_cost=0;
    set min_parallel_table_scan_size=0; select count(*), sum(g) from t")"
check "a notification" "Asynchronous notification \"n\" with payload \"x\"" \
    "$(pg psql -q -At -d bench -c 'listen n' -c "notify n, 'x'" 2>&1 | grep -o 'Asynchronous notification "n" with payload "x"')"
pg pg_dump -Fc -f pg/dump bench; pg createdb copy; pg pg_restore -d copy pg/dump
check "dump and restore" "$(q "select md5(string_agg(t::text, ',' order by g)) from t")" \
    "$(pg psql -q -At -d copy -c "select md5(string_agg(t::text, ',' order by g)) from t")"
q "create table k(n int)" ; for i in $(seq 50); do q "insert into k values($i)"; done
kill -9 "$(head -1 pg/data/postmaster.pid)"; until_true bash -c '! pgrep -u postgres postgres'
start
check "nothing is lost by kill -9" "50|1275|1000" "$(q 'select count(*), sum(n), (select count(*) from pgbench_history) from k')"
q "create extension if not exists amcheck" 2>/dev/null
check "the index is sound" "" "$(q "select bt_index_check('t_m_idx', true)")"
pg pg_ctl -D pg/data -w -m fast stop >/dev/null
check "a clean end" "0" "$?"
