# Installs what the scripts beside this one use, in a Debian machine.
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends \
    apache2-utils bind9-dnsutils ca-certificates curl dnsmasq-base git iperf3 iproute2 libpython3.13-testsuite lsof \
    net-tools netcat-openbsd nghttp2-client nginx-light nodejs npm openssh-client openssh-server openssl postgresql \
    procps python3 python3-pip redis-server redis-tools rsync wget wrk
