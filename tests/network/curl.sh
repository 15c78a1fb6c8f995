# curl, wget and h2load against nginx: HTTP/1.1 and HTTP/2 over TLS with a certificate authority of our own, ranges, uploads.
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=Test CA" -keyout ca.key -out ca.pem 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj "/CN=localhost" -keyout tls.key -out tls.csr 2>/dev/null
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' >ext
openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out tls.pem 2>/dev/null
mkdir www up && chmod 777 . www up
: >www/empty
head -c 20000000 /dev/urandom >www/big
head -c 1000 /dev/urandom >www/small
cat >nginx.conf <<EOF
user root;
pid $PWD/nginx.pid;
error_log $PWD/error.log;
events {}
http {
    access_log off;
    client_body_temp_path $PWD/body;
    client_max_body_size 64m;
    server {
        listen 127.0.0.1:21080;
        listen 127.0.0.1:21443 ssl;
        http2 on;
        ssl_certificate $PWD/tls.pem;
        ssl_certificate_key $PWD/tls.key;
        root $PWD/www;
        location /up/ { root $PWD; dav_methods PUT DELETE; }
        location /moved { return 302 https://localhost:21443/small; }
    }
}
EOF
nginx -c $PWD/nginx.conf && until_port 21443
S="--silent --show-error --cacert ca.pem"
check "HTTP/2 with TLS: version, status, size" "2 200 20000000" \
    "$(curl $S --http2 -o h2 -w '%{http_version} %{http_code} %{size_download}' https://localhost:21443/big)"
check "HTTP/2: every byte" "$(sum www/big)" "$(sum h2)"
check "HTTP/1.1 with TLS" "1.1 200 20000000 $(sum www/big)" \
    "$(curl $S --http1.1 -o h1 -w '%{http_version} %{http_code} %{size_download}' https://localhost:21443/big) $(sum h1)"
check "TLS 1.3 was spoken" "TLSv1.3" "$(curl $S -v https://localhost:21443/empty 2>&1 | grep -o 'TLSv1.3' | head -1)"
check "plain HTTP" "$(sum www/small)" "$(curl $S http://127.0.0.1:21080/small | sha256sum | cut -d' ' -f1)"
check "an empty file" "200 0" "$(curl $S -o /dev/null -w '%{http_code} %{size_download}' https://localhost:21443/empty)"
check "a range" "206 $(tail -c +1000001 www/big | head -c 500000 | sha256sum | cut -d' ' -f1)" \
    "$(curl $S -r 1000000-1499999 -o part -w '%{http_code}' https://localhost:21443/big) $(sum part)"
check "a redirection" "$(sum www/small)" "$(curl $S -L http://127.0.0.1:21080/moved | sha256sum | cut -d' ' -f1)"
check "an unknown authority is refused" "60" "$(curl --silent https://localhost:21443/; echo $?)"
check "a wrong name is refused" "60" \
    "$(curl $S --resolve other:21443:127.0.0.1 https://other:21443/ 2>/dev/null; echo $?)"
check "a missing file" "404" "$(curl $S -o /dev/null -w '%{http_code}' https://localhost:21443/none)"
check "nobody listens" "7" "$(curl --silent http://127.0.0.1:21099/; echo $?)"
check "an upload" "201 $(sum www/big)" \
    "$(curl $S -T www/big -o /dev/null -w '%{http_code}' https://localhost:21443/up/big) $(sum up/big)"
for i in $(seq 100); do printf 'url = https://localhost:21443/small\noutput = many.%s\n' "$i"; done >many.conf
curl $S --parallel --parallel-max 20 -K many.conf 2>/dev/null
check "a hundred at once" "100 $(sum www/small)" "$(ls many.* | grep -c -v conf) $(sha256sum many.? many.?? many.??? | cut -d' ' -f1 | sort -u)"
check "h2load: 2000 requests by 10 connections of 10 streams" "2000 succeeded, 0 failed" \
    "$(SSL_CERT_FILE=ca.pem h2load -n 2000 -c 10 -m 10 https://localhost:21443/small | grep -o '2000 succeeded, 0 failed')"
wget -q --ca-certificate=ca.pem -O w https://localhost:21443/big
check "wget: every byte" "$(sum www/big)" "$(sum w)"
head -c 7000000 www/big >resume
wget -q -c --ca-certificate=ca.pem -O resume https://localhost:21443/big
check "wget goes on where it stopped" "$(sum www/big)" "$(sum resume)"
check "wget refuses an unknown authority" "5" "$(wget -q -O /dev/null https://localhost:21443/; echo $?)"
check "nginx logged no errors" "" "$(grep -E 'emerg|alert|crit' error.log)"
kill "$(cat nginx.pid)"
