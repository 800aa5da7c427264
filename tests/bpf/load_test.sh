#!/bin/sh
# Loads the kernel programs into the running kernel, built once against its own BTF and once
# against the committed fallback. If this fails, sluiced does not start on such a machine.
# Prints one line per program with its instruction count. Needs root and the build.
set -u
build=${1:-build}
arch=${2:-x86}
passed=0 failed=0
dir=$(mktemp -d)
pins=/sys/fs/bpf/sluice-load-test-$$
mounted=
trap 'rm -rf "$dir" "$pins"; [ -z "$mounted" ] || umount /sys/fs/bpf' EXIT

if ! grep -q ' /sys/fs/bpf bpf ' /proc/mounts; then
	mount -t bpf bpf /sys/fs/bpf && mounted=1
fi
bpftool=$(command -v bpftool || echo /usr/sbin/bpftool)

try() { # NAME OBJECT
	if "$bpftool" prog loadall "$2" "$pins" 2>"$dir/words"; then
		for pin in "$pins"/*; do
			"$bpftool" prog show pinned "$pin" |
				sed -n "s/.*xlated \([0-9]*\)B.*/\1/p" |
				while read -r bytes; do
					echo "$1 $(basename "$pin"): $((bytes / 8)) instructions"
				done
		done
		rm -rf "$pins"
		passed=$((passed + 1))
	else
		echo "$1: the kernel refused it:"
		tail -n 20 "$dir/words"
		failed=$((failed + 1))
	fi
}

try "running kernel's types" "$build/sluice.bpf.o"

cp vmlinux/fallback.h "$dir/vmlinux.h"
for source in bpf/*.bpf.c; do
	clang -O2 -g -Wall -Werror -target bpf -D__TARGET_ARCH_"$arch" -Iinclude -I"$dir" -Ibpf \
		-I/usr/include/"$(gcc -print-multiarch)" -c "$source" \
		-o "$dir/$(basename "$source" .c).o" || failed=$((failed + 1))
done
"$bpftool" gen object "$dir/linked.o" "$dir"/*.bpf.o && try "fallback types" "$dir/linked.o"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
