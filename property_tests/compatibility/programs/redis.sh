# A server on a unix socket: redis-benchmark, then a fixed set of keys whose digest must agree, a rewrite and a reload.
under_test /usr/bin/redis-server --port 0 --unixsocket "$PWD/socket" --save '' --enable-debug-command yes --io-threads 2 \
  --logfile "$PWD/log" --dir "$PWD" --daemonize no &
server=$!
client() { redis-cli -s "$PWD/socket" "$@"; }

for ((i = 0; i < 100; i++)); do
  client ping >/dev/null 2>&1 && break
  kill -0 "$server"
  sleep 0.1
done
under_test /usr/bin/redis-benchmark -s "$PWD/socket" -q -n 20000 -c 20 -P 8 -r 5000 -d 300 -t set,get,lpush,lpop,sadd,hset,zadd,mset |
  tr '\r' '\n' | sed -n 's/^\([A-Z ()0-9a-z]*\): .* requests per second.*/\1/p'
client flushall
awk 'BEGIN { for (i = 0; i < 40000; i++) {
  printf "SET key%d %0*d\r\nHSET hash%d f%d %d\r\nZADD sorted%d %d m%d\r\n", i % 9000, i % 700 + 1, i, i % 300, i, i * 3, i % 50, i % 1000, i
} }' >commands
client --pipe <commands | tail -n 1
client debug digest
client debug reload
client debug digest
client shutdown nosave || true
wait "$server"
