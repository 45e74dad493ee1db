# smsflow: a PostgreSQL extension, its receiver smsflowd, and their tests.
#
#   make deps        packages that build, demo and tests need (Debian, apt)
#   make             build the extension and smsflowd
#   make install     install the extension into the server of pg_config
#   make demo        a store that plays one day; make demo-stop removes it
#   make check       everything a developer trusts
#   make check-ci    what CI runs: longer, with sanitizers, and on the other supported PostgreSQL releases
#   make check-versions  the tests on those releases alone, with all TAP tests
#   make check-packages  Debian packages of each release, built, installed and tried
#   make check-valgrind  regression tests on a server under valgrind
#   make deb         packages of this Debian, in build/deb
#   make check-all   what CI runs, and the packages
#   make installcheck  the regression tests alone, against an installed build
#   make bench       measurements, see test/bench/README.md
#   make soak        half an hour of random faults under load
#   make soak-steady  a million messages in half an hour: the worker must not grow
#   make soak-receiver  a minute of outage, and ten minutes of load on smsflowd

EXTENSION = smsflow
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" smsflow.control)

# Install order, top to bottom: types, tables, then what can be re-run.
SQL_TABLES = src/preamble.sql \
	src/types/types.tables.sql src/types/phone.tables.sql src/types/consent.tables.sql \
	src/contact/contact.tables.sql src/gateway/gateway.tables.sql src/message/message.tables.sql src/message/doubt.tables.sql \
	src/message/policy.tables.sql \
	src/segment/segment.tables.sql src/segment/profile.tables.sql src/campaign/campaign.tables.sql src/sequence/sequence.tables.sql src/otp/otp.tables.sql \
	src/callback/callback.tables.sql src/metrics/metrics.tables.sql src/metrics/alerts.tables.sql src/link/link.tables.sql src/ops/ops.tables.sql
# Gateways that smsflow knows, each a file of rows.
PROFILES = $(addprefix src/gateway/profiles/,kannel.sql generic_json.sql twilio.sql vonage.sql plivo.sql telnyx.sql sinch.sql messagebird.sql \
	infobip.sql bulksms.sql clickatell.sql aws.sql africastalking.sql jasmin.sql)
GATEWAY = $(addprefix src/gateway/,secret.sql gateway.sql sender.sql test.sql config.sql)
METRICS = $(addprefix src/metrics/,credit.sql bi_campaign.sql bi_sequence.sql bi_route.sql bi_people.sql bi_star.sql attribution.sql bi_variant.sql alerts.sql bi_comments.sql)
SQL_CODE = src/types/phone.sql src/types/consent.sql src/types/text.sql \
	src/message/gate.sql src/message/message.sql src/message/compose.sql src/metrics/fold.sql src/contact/ledger.sql src/contact/contact.sql $(GATEWAY) $(PROFILES) \
	src/segment/profile.sql src/segment/segment.sql src/segment/ready.sql \
	src/campaign/options.sql src/campaign/campaign.sql src/campaign/coupons.sql src/campaign/expand.sql src/campaign/estimate.sql \
	src/campaign/variants.sql src/campaign/launch.sql src/campaign/watch.sql \
	src/sequence/sequence.sql src/sequence/watch.sql src/sequence/advance.sql src/sequence/stock.sql src/sequence/recipes.sql src/otp/otp.sql \
	src/callback/callback.sql src/callback/review.sql src/callback/conversation.sql src/message/doubt.sql src/message/lookup.sql src/message/lint.sql src/contact/import.sql src/contact/rights.sql $(METRICS) src/link/link.sql src/campaign/progress.sql src/worker/worker.sql \
	$(addprefix src/ops/,arming.sql stat.sql health.sql explain.sql access.sql schedule.sql) src/metrics/report.sql src/ops/check.sql src/ops/retention.sql src/ops/dump.sql

CORE = $(sort $(wildcard src/core/*.c))
ROOMS = types contact message link segment campaign sequence otp gateway callback metrics ops worker
SOURCES = src/init.c src/guc.c src/append.c src/outer.c $(CORE) $(sort $(foreach room,$(ROOMS),$(wildcard src/$(room)/*.c)))

MODULE_big = smsflow
OBJS = $(SOURCES:.c=.o)
# From every release that there was straight to this one; see src/upgrade.
RELEASED = $(filter-out $(EXTVERSION),$(patsubst test/upgrade/smsflow--%.sql,%,$(wildcard test/upgrade/smsflow--*.sql)))
UPDATES = $(foreach release,$(RELEASED),smsflow--$(release)--$(EXTVERSION).sql)
DATA_built = smsflow--$(EXTVERSION).sql $(UPDATES)
EXTRA_CLEAN = smsflow--*.sql smsflowd build src/core/generated src/smsflowd/generated tmp_regress tmp_isolation output_iso \
	$(wildcard src/smsflowd/*.o)

PG_CPPFLAGS = -I$(srcdir)/src -DSMSFLOW_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-declaration-after-statement $(WERROR)
SHLIB_LINK = -lcurl -lcrypto -lm

REGRESS = phone consent text contact optin import rights gateway profiles message profile segment campaign sequence callback \
	metrics ops gate hours decision review refused otp stores retention steps recipes roles bi_route bi_people bi_sequence attribution \
	alerts report links conversation launches variants coupons combine lint access lookup explain attacks nulls watched
REGRESS_OPTS = --temp-instance=./tmp_regress --temp-config=$(srcdir)/test/smsflow.conf --load-extension=smsflow
ISOLATION = policy_reload claim optout_claim purchase_claim enqueue_sweep rollback otp_check consent seal stock_alert two_carts question campaigns segment held_stop
ISOLATION_OPTS = --inputdir=$(srcdir)/test --temp-instance=./tmp_isolation --temp-config=$(srcdir)/test/smsflow.conf --load-extension=smsflow

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifeq ($(MAKECMDGOALS),check)
# PGXS has a target of this name, which only says that it is not supported.
check:
	test/check.sh
else ifneq ($(PGXS),)
include $(PGXS)
# Debian's packages of the extension are without it.
WITH_SMSFLOWD ?= yes
ifeq ($(WITH_SMSFLOWD),yes)
all: smsflowd
install: install-smsflowd
endif
else
all install installcheck:
	@echo "No PostgreSQL server headers were found. Run 'make deps', or set PG_CONFIG." >&2; exit 1
clean:
endif

# Tables that core is compiled with, made from the facts in src/core/data.
CORE_TABLES = $(addprefix src/core/generated/,phone_plans.inc phone_codes.inc phone_areas.inc \
	gsm_septets.inc gsm_lookalikes.inc fold_letters.inc keywords.inc)
src/core/generated/phone_plans.inc src/core/generated/phone_codes.inc: src/core/data/regions.csv
src/core/generated/phone_areas.inc: src/core/data/nanp_tz.csv
src/core/generated/gsm_septets.inc: src/core/data/gsm7.csv
src/core/generated/gsm_lookalikes.inc: src/core/data/smart_map.csv
src/core/generated/fold_letters.inc: src/core/data/fold.csv
src/core/generated/keywords.inc: src/core/data/fold.csv src/core/data/keywords.csv
$(CORE_TABLES): src/core/data/tables.awk
	@mkdir -p $(@D)
	LC_ALL=C awk -v table=$(basename $(@F)) -f src/core/data/tables.awk $(filter %.csv,$^) > $@.tmp && mv $@.tmp $@
src/core/phone_plan.o src/core/phone.o src/core/gsm.o src/core/fold.o src/core/keyword.o: $(CORE_TABLES)

smsflow--$(EXTVERSION).sql: $(SQL_TABLES) $(SQL_CODE) smsflow.control
	sed -e 's/^CREATE OR REPLACE /CREATE /' $(SQL_TABLES) $(SQL_CODE) > $@

UPDATE_PARTS = $(wildcard src/upgrade/*.sql)
smsflow--%--$(EXTVERSION).sql: src/upgrade/update.sh $(UPDATE_PARTS) $(SQL_CODE) smsflow.control
	src/upgrade/update.sh $* $(EXTVERSION) $(UPDATE_PARTS) -- $(SQL_CODE) > $@

# A release that never was, for test/t/052_upgrade.pl, and an update that the server has not loaded.
EXAMPLE = test/upgrade/example
build/upgrade/made: smsflow--$(EXTVERSION).sql src/upgrade/update.sh $(wildcard $(EXAMPLE)/*.sql)
	@mkdir -p $(@D)
	cat $< $(EXAMPLE)/0.0.9.sql > $(@D)/smsflow--0.0.9.sql
	src/upgrade/update.sh 0.0.9 $(EXTVERSION) $(wildcard $(EXAMPLE)/*.sql) -- $(SQL_CODE) > $(@D)/smsflow--0.0.9--$(EXTVERSION).sql
	src/upgrade/update.sh $(EXTVERSION) 9.9.9 -- /dev/null > $(@D)/smsflow--$(EXTVERSION)--9.9.9.sql
	touch $@
example-release: build/upgrade/made

# PGXS does not follow includes: a changed header rebuilds everything.
$(OBJS) $(OBJS:.o=.bc): $(wildcard src/*.h src/*/*.h)

# The receiver, a program of its own.
SMSFLOWD_SOURCES = $(sort $(wildcard src/smsflowd/*.c))
SMSFLOWD_HEADERS = $(wildcard src/smsflowd/*.h) src/smsflowd/generated/report_css.inc
src/smsflowd/generated/report_css.inc: src/smsflowd/report.css
	@mkdir -p $(@D)
	sed -e 's/["\\]/\\&/g' -e 's/.*/"&\\n"/' $< > $@.tmp && mv $@.tmp $@
smsflowd build/sanitized/smsflowd: $(SMSFLOWD_SOURCES) $(SMSFLOWD_HEADERS)
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -g -Wall -Wextra $(WERROR) $(SMSFLOWD_FLAGS) -o $@ $(SMSFLOWD_SOURCES) $$(pkg-config --cflags --libs libevent libpq) -lm

unitdir ?= $(datadir)/smsflow
install-smsflowd: smsflowd
	install -d '$(DESTDIR)$(bindir)' '$(DESTDIR)$(datadir)/smsflow' '$(DESTDIR)$(unitdir)'
	install -m 755 smsflowd '$(DESTDIR)$(bindir)/smsflowd'
	install -m 644 src/smsflowd/example.conf '$(DESTDIR)$(datadir)/smsflow/smsflowd.conf'
	install -m 644 src/smsflowd/example.nginx.conf '$(DESTDIR)$(datadir)/smsflow/smsflowd.nginx.conf'
	sed 's#@bindir@#$(bindir)#' src/smsflowd/smsflowd.service.in > '$(DESTDIR)$(unitdir)/smsflowd@.service'

# The extension with places to fail (src/fault.h), for test/t/012_faults.pl alone: what has none is linked as it is.
FAULTY = $(shell grep -l smsflow_.*fault $(SOURCES))
FAULTY_OBJS = $(patsubst src/%.c,build/faults/%.o,$(sort src/fault.c $(FAULTY)))
build/faults/%.o: src/%.c $(wildcard src/*.h src/*/*.h)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CFLAGS_SL) $(CPPFLAGS) -DSMSFLOW_FAULTS -c -o $@ $<
build/faults/smsflow.so: $(FAULTY_OBJS) $(filter-out $(FAULTY:.c=.o),$(OBJS))
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -o $@ $^ $(SHLIB_LINK)
faults: build/faults/smsflow.so

# The extension whose worker counts half of the time, for test/bench/metrics.sh alone.
build/half_counted/smsflow.so: test/bench/half_counted.c src/worker/count.c $(filter-out src/worker/count.o,$(OBJS))
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CFLAGS_SL) $(CPPFLAGS) $(LDFLAGS) -shared -o $@ $(filter-out src/worker/count.c,$^) $(SHLIB_LINK)

# core as a library: what unit tests, fuzzers and simulator link.
CORE_FLAGS = -std=c11 -O2 -g -Wall -Wextra $(WERROR) -Isrc -Isrc/core -Itest/unit
CORE_HEADERS = $(wildcard src/core/*.h)
build/core/%.o: src/core/%.c $(CORE_HEADERS) $(CORE_TABLES)
	@mkdir -p $(@D)
	$(CC) $(CORE_FLAGS) -c -o $@ $<
build/libsmsflow_core.a: $(CORE:src/core/%.c=build/core/%.o)
	$(AR) rcs $@ $^

UNIT_TESTS = $(patsubst test/unit/%.c,build/unit/%,$(sort $(wildcard test/unit/test_*.c)))
build/unit/%: test/unit/%.c build/libsmsflow_core.a $(wildcard test/unit/*.h)
	@mkdir -p $(@D)
	$(CC) $(CORE_FLAGS) -o $@ $(filter %.c %.a,$^) $(UNIT_FLAGS) -lm
# The spool is smsflowd's.
build/unit/test_spool build/sanitized/unit/test_spool: src/smsflowd/spool.c src/smsflowd/callback.c $(wildcard src/smsflowd/*.h)
build/unit/test_spool build/sanitized/unit/test_spool: UNIT_FLAGS = -D_GNU_SOURCE $$(pkg-config --cflags --libs libevent)
unit: $(UNIT_TESTS)

# Unit tests, smsflowd and extension once more, with the sanitizers of addresses and undefined behaviour: an error ends the program.
SANITIZE = -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
build/sanitized/core/%.o: src/core/%.c $(CORE_HEADERS) $(CORE_TABLES)
	@mkdir -p $(@D)
	$(CC) $(CORE_FLAGS) $(SANITIZE) -c -o $@ $<
build/sanitized/unit/%: test/unit/%.c $(CORE:src/core/%.c=build/sanitized/core/%.o) $(wildcard test/unit/*.h)
	@mkdir -p $(@D)
	$(CC) $(CORE_FLAGS) $(SANITIZE) -o $@ $(filter %.c %.o,$^) $(UNIT_FLAGS) -lm
build/sanitized/smsflowd: SMSFLOWD_FLAGS = $(SANITIZE)
build/sanitized/extension/%.o: src/%.c $(CORE_TABLES) $(wildcard src/*.h src/*/*.h)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CFLAGS_SL) $(CPPFLAGS) $(SANITIZE) -c -o $@ $<
build/sanitized/smsflow.so: $(SOURCES:src/%.c=build/sanitized/extension/%.o)
	$(CC) $(CFLAGS) $(LDFLAGS) $(SANITIZE) -shared -o $@ $^ $(SHLIB_LINK)
# A server that is not built for the sanitizer of addresses has it preloaded, with this.
build/sanitized/first_malloc.so: test/first_malloc.c
	@mkdir -p $(@D)
	$(CC) -O1 -fPIC -Wall -Wextra $(WERROR) -shared -Wl,-z,initfirst -o $@ $<
sanitized: $(UNIT_TESTS:build/unit/%=build/sanitized/unit/%) build/sanitized/smsflowd build/sanitized/smsflow.so build/sanitized/first_malloc.so

SIM_SECONDS ?= 120
build/sim/sim: $(wildcard test/sim/*.[ch]) build/libsmsflow_core.a
	@mkdir -p $(@D)
	$(CC) $(CORE_FLAGS) -o $@ $(filter %.c,$^) build/libsmsflow_core.a -lm
sim: build/sim/sim
	build/sim/sim --seconds $(SIM_SECONDS)

# Random faults under load; SOAK_SEED=... plays the same ones again.
SOAK_SECONDS ?= 1800
soak:
	SOAK_SECONDS=$(SOAK_SECONDS) TAP_SECONDS=$$(($(SOAK_SECONDS) + 900)) CHECK_TAP=test/soak/soak.pl test/check.sh tap

# A million messages at a steady rate: the worker must not grow.
soak-steady:
	SOAK_SECONDS=$(SOAK_SECONDS) TAP_SECONDS=$$(($(SOAK_SECONDS) + 2700)) CHECK_TAP=test/soak/steady.pl test/check.sh tap

# The receiver: a minute without the database under load, then ten minutes of load without growth.
soak-receiver:
	OUTAGE_SECONDS=60 STEADY_SECONDS=600 TAP_SECONDS=1800 CHECK_TAP=test/t/022_receiver_faults.pl test/check.sh tap

FUZZ_SECONDS ?= 60
FUZZERS = $(patsubst test/fuzz/%.c,build/fuzz/%,$(sort $(wildcard test/fuzz/fuzz_*.c)))
build/fuzz/%: test/fuzz/%.c $(CORE) $(CORE_HEADERS) $(CORE_TABLES)
	@mkdir -p $(@D)
	clang -std=c11 -O1 -g -Isrc -Isrc/core -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o $@ $< $(CORE)
fuzz: $(FUZZERS)
	test/fuzz/run.sh $(FUZZ_SECONDS) $(FUZZERS)

# CI has 40 minutes: what takes longest comes last, and says so when the time is over.
CI_STAGES = unit static+regress isolation+sim tap sanitize fuzz versions
LONG = FUZZ_SECONDS=$(FUZZ_SECONDS) SIM_SECONDS=$(SIM_SECONDS)
check-ci:
	$(LONG) CHECK_MINUTES=36 test/check.sh $(CI_STAGES)
check-all:
	$(LONG) test/check.sh $(CI_STAGES) packages
check-versions:
	test/check.sh versions
check-packages:
	test/check.sh packages
check-valgrind:
	test/check.sh valgrind
deps:
	test/deps.sh check
demo:
	test/demo/demo.sh
demo-stop:
	test/demo/demo-stop.sh
static:
	test/static.sh
bench:
	test/bench/bench.sh
	test/bench/core.sh
bench-core:
	test/bench/core.sh
# The packages of this Debian, in build/deb, from a copy of the tree: dpkg-buildpackage writes beside it.
deb:
	dpkg-checkbuilddeps debian/control || { echo "Run 'apt-get build-dep ./' first." >&2; exit 1; }
	rm -rf build/deb && mkdir -p build/deb/smsflow
	tar --exclude=./build --exclude=./.git -cf - . | tar -xf - -C build/deb/smsflow
	cd build/deb/smsflow && pg_buildext updatecontrol && dpkg-buildpackage -us -uc -b

# What is committed, for PGXN (zip) and for packagers, with what META.json speaks of.
META.json: META.json.in smsflow.control
	sed 's/@VERSION@/$(EXTVERSION)/' META.json.in > $@
dist: META.json smsflow--$(EXTVERSION).sql
	@mkdir -p build/dist
	for kind in zip tar.gz; do git archive --prefix=smsflow-$(EXTVERSION)/ --add-file=META.json --add-file=smsflow--$(EXTVERSION).sql \
		-o build/dist/smsflow-$(EXTVERSION).$$kind HEAD || exit 1; done

.PHONY: check example-release check-ci check-versions check-packages check-valgrind check-all unit sanitized sim soak soak-steady soak-receiver faults fuzz deps demo demo-stop static bench bench-core dist deb install-smsflowd

# For scripts: make -s print-REGRESS
print-%:
	@echo $($*)
