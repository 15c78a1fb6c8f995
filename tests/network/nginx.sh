# nginx with several workers under ab and wrk: every request is answered, and logged once.
mkdir www && head -c 612 /dev/urandom >www/file && chmod 755 . www
cat >nginx.conf <<EOF
user root;
worker_processes 2;
pid $PWD/nginx.pid;
error_log $PWD/error.log;
events { worker_connections 512; }
http {
    log_format status '\$status \$body_bytes_sent';
    access_log $PWD/access.log status;
    keepalive_requests 1000000;
    upstream self { server 127.0.0.1:21381; keepalive 8; }
    server { listen 127.0.0.1:21380 reuseport; listen [::1]:21380; root $PWD/www;
        location /proxy/ { proxy_pass http://self/; access_log off; proxy_http_version 1.1; proxy_set_header Connection ""; } }
    server { listen 127.0.0.1:21381; listen unix:$PWD/socket; access_log off; root $PWD/www; }
}
EOF
nginx -c "$PWD/nginx.conf" && until_port 21380
ab -q -n 5000 -c 20 http://127.0.0.1:21380/file >ab
check "ab without keep-alive" "5000 0 3060000" "$(awk '/^Complete requests/{c=$3} /^Failed requests/{f=$3} /^HTML transferred/{b=$3} END{print c,f,b}' ab)"
until_true bash -c '[ "$(wc -l <access.log)" == 5000 ]'
check "the log has each of them" "5000 200 612" "$(sort access.log | uniq -c | xargs)"
: >access.log; kill -USR1 "$(cat nginx.pid)"
ab -q -k -n 5000 -c 20 'http://[::1]:21380/file' >ab6
check "ab with keep-alive, IPv6" "5000 0 5000" "$(awk '/^Complete requests/{c=$3} /^Failed requests/{f=$3} /^Keep-Alive requests/{k=$3} END{print c,f,k}' ab6)"
ab -q -k -n 2000 -c 10 http://127.0.0.1:21380/proxy/file >abp
check "ab by a proxy" "2000 0" "$(awk '/^Complete requests/{c=$3} /^Failed requests/{f=$3} END{print c,f}' abp)"
check "by a Unix socket" "$(sum www/file)" "$(curl -s --unix-socket socket http://localhost/file | sha256sum | cut -d' ' -f1)"
rm -f access.log; kill -USR1 "$(cat nginx.pid)"; until_true test -e access.log
wrk -t2 -c20 -d5s http://127.0.0.1:21380/file >wrk
requests=$(awk '/requests in/{print $1}' wrk)
check "wrk: no errors" "" "$(grep -E 'Socket errors|Non-2xx' wrk)"
check "wrk: there were requests" "yes" "$([ "$requests" -gt 100 ] && echo yes || cat wrk)"
# What was under way at the end is logged and not counted.
sleep 1; logged=$(grep -c '^200 612$' access.log)
check "wrk: the log has each of them" "yes" \
    "$([ "$logged" -ge "$requests" ] && [ "$logged" -le $((requests + 20)) ] && echo yes || echo "$logged of $requests")"
old=$(pgrep -P "$(cat nginx.pid)" | sort | xargs)
kill -HUP "$(cat nginx.pid)"
until_true bash -c "[ \"\$(pgrep -P $(cat nginx.pid) | sort | xargs)\" != '$old' ] && [ \$(pgrep -P $(cat nginx.pid) | wc -l) == 2 ]"
check "new workers after a reload" "200" "$(curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:21380/file)"
check "nginx logged no errors" "" "$(grep -E 'emerg|alert|crit|error' error.log)"
kill -QUIT "$(cat nginx.pid)"; until_true bash -c '! test -e nginx.pid'
check "a clean end" "gone" "$(test -e nginx.pid || echo gone)"
