# redis: redis-benchmark with exact counts, snapshots by fork, the append-only file after kill -9, replication, messages.
redis-server --port 21479 --dir "$PWD" --save '' --appendonly no --daemonize no >log 2>&1 & server=$!
until_port 21479
r() { redis-cli -p 21479 "$@"; }
redis-benchmark -p 21479 -q -n 20000 -c 20 -r 5000 -t set,get,incr,lpush >/dev/null
calls() { r info commandstats | tr -d '\r' | sed -n "s/^cmdstat_$1:calls=\([0-9]*\),.*failed_calls=0.*/\1/p"; }
check "each command was run" "20000 20000 20000 20000" "$(calls set) $(calls get) $(calls incr) $(calls lpush)"
redis-benchmark -p 21479 -q -n 20000 -c 10 -P 16 -t ping_mbulk >/dev/null
check "pipelined" "20000" "$(calls ping)"
r flushall >/dev/null
for i in $(seq 1000); do echo "SET key:$i value:$i"; done | r --pipe >/dev/null
check "a thousand keys by pipe" "1000" "$(r dbsize)"
r set big "$(head -c 100000 /dev/zero | tr '\0' x)" >/dev/null
check "a large value" "100000" "$(r strlen big)"
r bgsave >/dev/null
until_true bash -c "redis-cli -p 21479 info persistence | grep -q rdb_bgsave_in_progress:0"
check "a snapshot by fork" "ok" "$(r info persistence | tr -d '\r' | sed -n 's/rdb_last_bgsave_status://p')"
check "the snapshot is sound" "0" "$(redis-check-rdb dump.rdb >/dev/null; echo $?)"
r config set appendonly yes >/dev/null; r config set appendfsync always >/dev/null
until_true bash -c "redis-cli -p 21479 info persistence | grep -q aof_rewrite_in_progress:0"
for i in $(seq 200); do r incr counter >/dev/null; done
digest=$(r debug digest 2>/dev/null); kill -9 $server; wait $server 2>/dev/null
redis-server --port 21479 --dir "$PWD" --save '' --appendonly yes >>log 2>&1 & server=$!
until_true bash -c '[ "$(redis-cli -p 21479 ping)" == PONG ]'
check "nothing is lost by kill -9" "1002 200" "$(r dbsize) $(r get counter)"
redis-server --port 21480 --dir "$(mktemp -d)" --save '' --replicaof 127.0.0.1 21479 >log2 2>&1 & replica=$!
until_true bash -c "redis-cli -p 21480 info replication | grep -q master_link_status:up"
r set late entry >/dev/null
check "acknowledged by the replica" "1" "$(r wait 1 20000)"
check "the replica has all" "1003 entry" "$(redis-cli -p 21480 dbsize) $(redis-cli -p 21480 get late)"
redis-cli -p 21480 subscribe news >heard & listener=$!
until_true bash -c "[ \"\$(redis-cli -p 21480 pubsub numsub news | tail -1)\" == 1 ]"
r publish news hello >/dev/null; until_true grep -q hello heard
check "a message" "message news hello" "$(tail -3 heard | xargs)"
(sleep 1; r rpush queue item >/dev/null) &
check "a client waits" "queue item" "$(r blpop queue 30 | xargs)"
check "a script" "3" "$(r eval 'return redis.call("incrby", KEYS[1], 3)' 1 new)"
kill $listener $replica; r shutdown nosave >/dev/null 2>&1; wait $server
check "a clean end" "0" "$?"
