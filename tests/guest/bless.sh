#!/usr/bin/env bash
# Writes the golden transcripts from real Linux (programs built for this host) or, for what is about AArch64, from
# qemu-aarch64 (then put right by hand what qemu-deviations.txt has about it); then shows where qemu differs. Usage: bless.sh [NAME...]
set -euo pipefail
cd "$(dirname "$0")"
golden=$(realpath ../golden/guest)
target=${CARGO_TARGET_DIR:-$(realpath ../..)/target}/guest-bless
export CARGO_TARGET_DIR=$target
cargo build --quiet
cargo build --quiet --target aarch64-unknown-linux-musl
qemu=$(command -v qemu-aarch64 || command -v qemu-aarch64-static)
names=("$@")
if [ ${#names[@]} = 0 ]; then
  for source in src/bin/*.rs; do
    name=$(basename "$source" .rs)
    [ "$name" = init ] || [ "$name" = sh ] || names+=("$name")
  done
  fi
for name in "${names[@]}"; do
  by_qemu=$(timeout 100 "$qemu" "$target/aarch64-unknown-linux-musl/debug/$name" || true)
  case $name in
    watchpoints | controllers) continue ;; # neither has them: written by hand
    arm64 | arith) printf '%s\n' "$by_qemu" >"$golden/$name.txt" ;;
    access | mounts | overlays | namespaces | cgroups) timeout 100 unshare -m --propagation private "$target/debug/$name" | cat >"$golden/$name.txt" ;;
    mqueuefs) timeout 100 unshare -m -i --propagation private "$target/debug/$name" | cat >"$golden/$name.txt" ;;
    *) timeout 100 "$target/debug/$name" | cat >"$golden/$name.txt" ;; # a pipe: a file would meet its size limit
  esac
  diff -u --label "$name on Linux" --label "$name on qemu" "$golden/$name.txt" - <<<"$by_qemu" || true
done
