# dicom_fdw: built with PGXS. `make`, `make install`, `make installcheck`; `make -C test` for the lower half alone.
EXTENSION = dicom_fdw
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" dicom_fdw.control)
MODULE_big = dicom_fdw

# What decodes pixels is a program of its own, dicompress-decoder; a backend only talks to it, through WITH_PROGRAM.
WITH_PROGRAM = $(wildcard src/compress/message.c src/compress/child*.c)
PROGRAM_ONLY = $(filter-out $(WITH_PROGRAM),$(wildcard src/image/*.c src/compress/*.c))
SOURCES = $(sort $(filter-out $(PROGRAM_ONLY),$(wildcard src/*.c src/*/*.c)))
OBJS = $(SOURCES:.c=.o)

# The extension script is assembled from the modules' SQL, in this order.
MODULE_SQL = $(wildcard src/pg/*.sql) src/fdw/fdw.sql build/fdw/entity_types.sql src/catalog/catalog.sql src/explode/explode.sql src/explode/describe.sql \
	$(wildcard $(addprefix src/explode/,render.sql)) \
	$(wildcard $(addprefix src/deid/,keyring.sql functions.sql mapping.sql profile.sql query.sql dataset.sql proof.sql)) build/deid/seeds.sql \
	$(wildcard $(addprefix src/lake/,lake.sql)) \
	$(wildcard $(addprefix src/pipeline/,objects.sql state.sql pipeline.sql tables.sql stage.sql pictures.sql layers.sql lineage.sql run.sql rotate.sql worker.sql notify.sql export.sql archive.sql))
DATA_built = $(EXTENSION)--$(EXTVERSION).sql

REGRESS = $(basename $(notdir $(wildcard sql/*.sql)))
REGRESS_OPTS = --inputdir=. --outputdir=build/regress

PG_CPPFLAGS = -Ibuild -Isrc
# Other compilers warn of other things: only scripts/test.sh makes errors of warnings, by WERROR.
PG_CFLAGS = -std=gnu11 -Wall -Wextra $(WERROR) -Wno-unused-parameter -Wno-missing-field-initializers -Wno-sign-compare \
	-fvisibility=hidden
SHLIB_LINK = -lcurl -lcrypto -lexpat -ljansson -lz -lzstd -lsnappy -lxxhash -lm

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

# The rules that the extension brings, from the tables that a person reads and edits.
build/deid/seeds.sql: src/deid/make_seeds.py $(wildcard seeds/*.csv)
	@mkdir -p $(@D)
	python3 $< seeds >$@.new && mv $@.new $@

$(OBJS): build/dicom/dictionary_data.h build/fdw/entity_columns.h $(wildcard src/*/*.h)

$(EXTENSION)--$(EXTVERSION).sql: $(MODULE_SQL)
	{ printf '%s\n' '\echo Use "CREATE EXTENSION $(EXTENSION)" to load this file. \quit'; cat $^; } >$@.new && mv $@.new $@

# The programs: dicompress is the lower half without PostgreSQL, dicompress-decoder its children, with the decoders and without the stores.
DECODER_OWN = $(wildcard $(addprefix src/compress/,decoder*.c sandbox.c))
DECODER_SOURCES = $(sort $(wildcard src/dicom/*.c src/image/*.c $(addprefix src/compress/,message.c digest.c whole.c)) $(DECODER_OWN))
PROGRAM_SOURCES = $(sort $(filter-out $(DECODER_OWN),$(wildcard src/dicom/*.c src/store/*.c src/reader/*.c src/compress/*.c)))
PROGRAM_OBJECTS = $(PROGRAM_SOURCES:src/%=build/program/%.o)
DECODER_OBJECTS = $(patsubst src/%,build/program/%.o,$(DECODER_SOURCES) $(wildcard src/image/*.cc))
PROGRAM_FLAGS = -O2 -g -Wall -Wextra $(WERROR) -Wno-unused-parameter -Wno-missing-field-initializers -fstack-protector-strong \
	-Ibuild -Isrc -MMD -DDICOMPRESS_VERSION='"$(EXTVERSION)"'
PROGRAM_LIBS = -lcurl -lcrypto -lexpat -ljansson -lz -lm -lpthread
DECODER_LIBS = -ldcmjpeg -ldcmdata -loflog -lofstd -lcharls -lopenjp2 -ljxl -ljpeg -lseccomp -lcrypto -lz -lm -lpthread
PROGRAMS = build/dicompress build/dicompress-decoder

build/program/%.c.o: src/%.c build/dicom/dictionary_data.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(PROGRAM_FLAGS) -c -o $@ $<

build/program/%.cc.o: src/%.cc
	@mkdir -p $(@D)
	$(CXX) -std=gnu++17 $(PROGRAM_FLAGS) -c -o $@ $<

build/dicompress: $(PROGRAM_OBJECTS)
	$(CC) -o $@ $^ $(PROGRAM_LIBS)

build/dicompress-decoder: $(DECODER_OBJECTS)
	$(CXX) -o $@ $^ $(DECODER_LIBS)

ifneq ($(wildcard src/compress/main.c),)
all: $(PROGRAMS)
install: install-programs
endif

.PHONY: install-programs
install-programs: $(PROGRAMS)
	$(MKDIR_P) '$(DESTDIR)$(bindir)'
	$(INSTALL_PROGRAM) $(PROGRAMS) '$(DESTDIR)$(bindir)'

-include $(sort $(PROGRAM_OBJECTS:.o=.d) $(DECODER_OBJECTS:.o=.d))

.PHONY: format lint
format:
	clang-format -i $$(git ls-files '*.c' '*.h')
lint:
	clang-format --dry-run -Werror $$(git ls-files '*.c' '*.h')
