# dicom_fdw: built with PGXS. `make`, `make install`, `make installcheck`; `make -C test` for the lower half alone.
EXTENSION = dicom_fdw
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" dicom_fdw.control)
MODULE_big = dicom_fdw

SOURCES = $(sort $(wildcard src/*.c src/*/*.c))
OBJS = $(SOURCES:.c=.o)

# The extension script is assembled from the modules' SQL, in this order.
MODULE_SQL = $(wildcard src/pg/*.sql) src/fdw/fdw.sql build/fdw/entity_types.sql src/explode/explode.sql src/explode/describe.sql
DATA_built = $(EXTENSION)--$(EXTVERSION).sql

REGRESS = $(basename $(notdir $(wildcard sql/*.sql)))
REGRESS_OPTS = --inputdir=. --outputdir=build/regress

PG_CPPFLAGS = -Ibuild -Isrc
PG_CFLAGS = -std=gnu11 -Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-field-initializers -Wno-sign-compare \
	-fvisibility=hidden
SHLIB_LINK = -lcurl -lcrypto -lexpat -ljansson -lz -lm

EXTRA_CLEAN = build $(EXTENSION)--$(EXTVERSION).sql

# Bitcode would serve only the inlining of functions that nobody calls per row.
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# The dictionary of PS3.6, from DCMTK's text form of it.
DICOM_DIC ?= $(firstword $(wildcard /usr/share/libdcmtk*/dicom.dic /usr/share/dcmtk*/dicom.dic /usr/local/share/dcmtk*/dicom.dic))

build/dicom/dictionary_data.h: src/dicom/make_dictionary.py $(DICOM_DIC)
	@test -n "$(DICOM_DIC)" || { echo "dicom.dic not found: install libdcmtk-dev, or set DICOM_DIC" >&2; exit 1; }
	@mkdir -p $(@D)
	python3 src/dicom/make_dictionary.py $(DICOM_DIC) >$@.new && mv $@.new $@

# What the entity tables are made of: C table and SQL row types, from one list.
build/fdw/entity_columns.h: src/fdw/make_entities.py src/fdw/entities.tsv $(DICOM_DIC)
	@mkdir -p $(@D)
	python3 src/fdw/make_entities.py header src/fdw/entities.tsv $(DICOM_DIC) >$@.new && mv $@.new $@

build/fdw/entity_types.sql: src/fdw/make_entities.py src/fdw/entities.tsv $(DICOM_DIC)
	@mkdir -p $(@D)
	python3 src/fdw/make_entities.py sql src/fdw/entities.tsv $(DICOM_DIC) >$@.new && mv $@.new $@

$(OBJS): build/dicom/dictionary_data.h build/fdw/entity_columns.h $(wildcard src/*/*.h)

$(EXTENSION)--$(EXTVERSION).sql: $(MODULE_SQL)
	{ printf '%s\n' '\echo Use "CREATE EXTENSION $(EXTENSION)" to load this file. \quit'; cat $^; } >$@.new && mv $@.new $@

.PHONY: format lint
format:
	clang-format -i $$(git ls-files '*.c' '*.h')
lint:
	clang-format --dry-run -Werror $$(git ls-files '*.c' '*.h')
