#!/bin/sh
# Makes vdso.so; needs the AArch64 cross binutils. Run after a change of vdso.S and commit the result.
set -e
cd "$(dirname "$0")"
aarch64-linux-gnu-as -o vdso.o vdso.S
aarch64-linux-gnu-ld -shared -soname linux-vdso.so.1 --hash-style=both -Bsymbolic --no-undefined \
	-z max-page-size=4096 -T vdso.lds -o vdso.so vdso.o
aarch64-linux-gnu-strip --strip-section-headers vdso.so 2>/dev/null || aarch64-linux-gnu-strip -s vdso.so
rm vdso.o
