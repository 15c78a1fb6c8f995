set -e
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -y -q --no-install-recommends tigervnc-standalone-server tigervnc-tools twm x11-xserver-utils xfonts-base xterm
