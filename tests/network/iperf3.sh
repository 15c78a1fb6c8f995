# iperf3: as many bytes received as sent; TCP both ways, several streams, IPv6, UDP.
run() { # CLIENT'S OPTIONS
    iperf3 -s -1 -p 21652 >/dev/null 2>&1 & local server=$!
    for _ in $(seq 50); do
        iperf3 -c "${to:-127.0.0.1}" -p 21652 -J "$@" >json 2>/dev/null && break
        sleep 0.2
    done
    wait $server
}
field() { python3 -c 'import json,sys; e=json.load(open("json"))["end"]; print(*[eval("e"+f) for f in sys.argv[1:]])' "$@"; }
run -n 100M
check "TCP: all arrives" "$(field '["sum_sent"]["bytes"]')" "$(field '["sum_received"]["bytes"]')"
check "TCP: as much as asked for" "yes" "$([ "$(field '["sum_sent"]["bytes"]')" -ge 104857600 ] && echo yes)"
run -n 100M -R
check "the other way" "yes" "$([ "$(field '["sum_received"]["bytes"]')" -ge 104857600 ] && echo yes)"
run -n 100M -P 8
check "eight streams" "8 $(field '["sum_sent"]["bytes"]')" "$(field '["streams"].__len__()' '["sum_received"]["bytes"]')"
to=::1 run -6 -n 50M
check "IPv6" "$(field '["sum_sent"]["bytes"]')" "$(field '["sum_received"]["bytes"]')"
run -u -b 20M -l 1200 -n 3M
check "UDP: what is sent arrives or is counted as lost" "$(field '["sum_sent"]["packets"]')" "$(field '["sum_received"]["packets"]')"
check "UDP: as much as asked for" "yes" "$([ "$(field '["sum_sent"]["bytes"]')" -ge 3145728 ] && echo yes)"
