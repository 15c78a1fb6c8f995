# dig against dnsmasq: kinds of records, UDP and TCP, truncation, what does not exist.
cat >conf <<EOF
port=21553
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
user=root
pid-file=$PWD/pid
local=/example.test/
address=/host.example.test/192.0.2.17
address=/host.example.test/2001:db8::17
mx-host=example.test,host.example.test,10
txt-record=example.test,"v=spf1 -all"
ptr-record=17.2.0.192.in-addr.arpa,host.example.test
cname=www.example.test,host.example.test
EOF
for i in $(seq 120); do echo "host-record=many.example.test,198.51.100.$i"; done >>conf
dnsmasq -C "$PWD/conf"
d() { dig @127.0.0.1 -p 21553 +time=5 +tries=2 "$@"; }
until_true d +short host.example.test
check "A" "192.0.2.17" "$(d +short host.example.test A)"
check "AAAA" "2001:db8::17" "$(d +short host.example.test AAAA)"
check "MX" "10 host.example.test." "$(d +short example.test MX)"
check "TXT" '"v=spf1 -all"' "$(d +short example.test TXT)"
check "PTR" "host.example.test." "$(d +short -x 192.0.2.17)"
check "by TCP" "192.0.2.17" "$(d +tcp +short host.example.test A)"
check "by TCP it says" "TCP" "$(d +tcp host.example.test A | sed -n 's/^;; SERVER: .*(\(.*\))$/\1/p')"
check "NXDOMAIN" "NXDOMAIN" "$(d none.example.test | grep -o 'status: [A-Z]*' | cut -d' ' -f2)"
check "no servers to ask" "REFUSED" "$(d example.org | grep -o 'status: [A-Z]*' | cut -d' ' -f2)"
check "too long for UDP: truncated" "1" "$(d +noedns +ignore many.example.test A | grep -c 'flags:.* tc')"
check "too long for UDP: asked again by TCP" "120" "$(d +noedns +short many.example.test A | sort -u | grep -c '^198\.51\.100\.')"
for i in $(seq 200); do echo "host.example.test A"; done >batch
check "two hundred in one go" "200" "$(d +short -f batch | grep -c '^192.0.2.17$')"
check "nobody listens" "9" "$(dig @127.0.0.1 -p 21599 +time=1 +tries=1 x.test >/dev/null 2>&1; echo $?)"
kill "$(cat pid)"
