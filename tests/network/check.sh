# In front of every script: how it says what it found. `cargo xtask network` counts the lines.
set -u
export LC_ALL=C.UTF-8 HOME=/root
cd "$(mktemp -d)"

# check WHAT EXPECTED FOUND
check() {
    if [ "$2" == "$3" ]; then echo "pass $1"; else echo "fail $1: expected '$2', found '$3'"; fi
}

# until_true COMMAND...: waits until it succeeds, at most a minute.
until_true() {
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.2
    done
    echo "fail in time: $*"
    return 1
}

# until_port PORT: waits until somebody listens.
until_port() { until_true bash -c "exec 3<>/dev/tcp/127.0.0.1/$1"; }

sum() { sha256sum "$@" | cut -d' ' -f1; }
