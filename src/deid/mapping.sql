
/* --- which rule is for which column: src/deid --- */

CREATE TABLE dicom.anonymization_profile
(
	profile text PRIMARY KEY CHECK (profile ~ '^[a-z][a-z0-9_]{0,62}$'),
	description text,
	params jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(params) = 'object'),
	judged_by text NOT NULL DEFAULT 'basic',
	origin text NOT NULL DEFAULT 'user' CHECK (origin IN ('shipped', 'user')),
	version integer NOT NULL DEFAULT 0,
	mapping_hash text,
	attributes_hash text
);
REVOKE ALL ON dicom.anonymization_profile FROM PUBLIC;
COMMENT ON TABLE dicom.anonymization_profile IS 'named sets of rules: for columns in dicom.anonymization_mapping, for DICOM data sets in dicom.profile_attribute';
COMMENT ON COLUMN dicom.anonymization_profile.profile IS 'name, as functions and pipelines take it';
COMMENT ON COLUMN dicom.anonymization_profile.description IS 'what it is for';
COMMENT ON COLUMN dicom.anonymization_profile.params IS 'parameters of rules that every column of the profile has, where its own do not say otherwise';
COMMENT ON COLUMN dicom.anonymization_profile.judged_by IS 'the profile whose attributes say which columns may be kept: dicom.validate_mapping() warns of the others';
COMMENT ON COLUMN dicom.anonymization_profile.origin IS 'shipped: as the extension brought it; user: rules were changed, so that pg_dump keeps all of them';
COMMENT ON COLUMN dicom.anonymization_profile.version IS 'the last row of dicom.anonymization_mapping_version; 0: none yet';
COMMENT ON COLUMN dicom.anonymization_profile.mapping_hash IS 'SHA-256 of the rows of dicom.anonymization_mapping in that version';
COMMENT ON COLUMN dicom.anonymization_profile.attributes_hash IS 'SHA-256 of the rows of dicom.profile_attribute in that version';

CREATE TABLE dicom.anonymization_mapping
(
	profile text NOT NULL DEFAULT 'research' REFERENCES dicom.anonymization_profile ON DELETE CASCADE,
	schema_name text NOT NULL,
	table_name text NOT NULL,
	column_name text NOT NULL,
	target_function text NOT NULL DEFAULT '',
	target_type text NOT NULL DEFAULT '',
	domain text,
	params jsonb NOT NULL DEFAULT '{}',
	null_policy text NOT NULL DEFAULT 'null',
	key_ordinal integer,
	quasi_identifier boolean NOT NULL DEFAULT false,
	reason text,
	PRIMARY KEY (profile, schema_name, table_name, column_name)
);
REVOKE ALL ON dicom.anonymization_mapping FROM PUBLIC;
COMMENT ON TABLE dicom.anonymization_mapping IS 'which rule each column goes through on its way out of the raw layer; a column without a row is removed';
COMMENT ON COLUMN dicom.anonymization_mapping.profile IS 'the set of rules that the row belongs to';
COMMENT ON COLUMN dicom.anonymization_mapping.schema_name IS 'schema of the raw table; raw stands for any schema that has no rows of its own';
COMMENT ON COLUMN dicom.anonymization_mapping.table_name IS 'raw table, or the entity that a foreign table shows';
COMMENT ON COLUMN dicom.anonymization_mapping.column_name IS 'column of that table';
COMMENT ON COLUMN dicom.anonymization_mapping.target_function IS 'rule, one of dicom.anonymization_rules(); empty: the value is kept; anonymize_dataset: a jsonb column that holds a sequence is cleaned item by item';
COMMENT ON COLUMN dicom.anonymization_mapping.target_type IS 'type of the result, in PostgreSQL''s or a neighbouring system''s words; empty: as the rule gives it';
COMMENT ON COLUMN dicom.anonymization_mapping.domain IS 'kind of identifier: equal values of one domain have equal pseudonyms, wherever they stand; where none is given, the column''s name, of a surrogate key the table''s';
COMMENT ON COLUMN dicom.anonymization_mapping.params IS 'parameters of the rule';
COMMENT ON COLUMN dicom.anonymization_mapping.null_policy IS 'null: NULL and empty values give NULL; marker: they are hashed like any other';
COMMENT ON COLUMN dicom.anonymization_mapping.key_ordinal IS 'place of the column in its table''s surrogate key';
COMMENT ON COLUMN dicom.anonymization_mapping.quasi_identifier IS 'does not identify alone, but may together with others: counted by dicom.k_anonymity()';
COMMENT ON COLUMN dicom.anonymization_mapping.reason IS 'why this rule';

CREATE TABLE dicom.anonymization_mapping_version
(
	profile text NOT NULL REFERENCES dicom.anonymization_profile ON DELETE CASCADE,
	version integer NOT NULL,
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	created_by text NOT NULL DEFAULT session_user,
	content_hash text NOT NULL,
	mapping jsonb NOT NULL,
	attributes jsonb NOT NULL,
	PRIMARY KEY (profile, version)
);
REVOKE ALL ON dicom.anonymization_mapping_version FROM PUBLIC;
COMMENT ON TABLE dicom.anonymization_mapping_version IS 'every state that the rules of a profile ever had';
COMMENT ON COLUMN dicom.anonymization_mapping_version.profile IS 'the profile';
COMMENT ON COLUMN dicom.anonymization_mapping_version.version IS 'counted from 1 in each profile';
COMMENT ON COLUMN dicom.anonymization_mapping_version.created_at IS 'when the rules became so';
COMMENT ON COLUMN dicom.anonymization_mapping_version.created_by IS 'who made them so';
COMMENT ON COLUMN dicom.anonymization_mapping_version.content_hash IS 'SHA-256 of mapping and attributes: equal rules have equal hashes, in any database';
COMMENT ON COLUMN dicom.anonymization_mapping_version.mapping IS 'rows of dicom.anonymization_mapping';
COMMENT ON COLUMN dicom.anonymization_mapping_version.attributes IS 'rows of dicom.profile_attribute';

CREATE TABLE dicom.profile_attribute
(
	profile text NOT NULL REFERENCES dicom.anonymization_profile ON DELETE CASCADE,
	tag text NOT NULL CHECK (tag ~ '^[0-9A-Fx]{8}$'),
	keyword text,
	action text NOT NULL CHECK (action ~ '^[DZXKCU](/[DZXKCU])*\*?$'),
	rule text NOT NULL,
	params jsonb NOT NULL DEFAULT '{}',
	PRIMARY KEY (profile, tag)
);
REVOKE ALL ON dicom.profile_attribute FROM PUBLIC;
COMMENT ON TABLE dicom.profile_attribute IS 'what a profile does to the attributes that PS3.15 Table E.1-1 lists, in a DICOM data set';
COMMENT ON COLUMN dicom.profile_attribute.profile IS 'the profile';
COMMENT ON COLUMN dicom.profile_attribute.tag IS 'eight hex digits; x stands for any: 50xxxxxx is every curve group';
COMMENT ON COLUMN dicom.profile_attribute.keyword IS 'keyword of PS3.6';
COMMENT ON COLUMN dicom.profile_attribute.action IS 'code of PS3.15: D dummy, Z empty or dummy, X removed, K kept, C cleaned, U another UID';
COMMENT ON COLUMN dicom.profile_attribute.rule IS 'the rule that does it';
COMMENT ON COLUMN dicom.profile_attribute.params IS 'parameters of the rule';

/*
 * A profile is dumped whole or not at all. What the extension brings comes back with CREATE EXTENSION; once a user has touched a profile,
 * a restore must not mix the two: a rule that was taken out would be there again.
 */
CREATE FUNCTION dicom.replace_shipped_profile()
RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NEW.origin = 'user' AND NEW.version > 0 THEN
		DELETE FROM dicom.anonymization_profile p WHERE p.profile = NEW.profile AND p.origin = 'shipped';
	END IF;
	RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION dicom.replace_shipped_profile() FROM PUBLIC;
COMMENT ON FUNCTION dicom.replace_shipped_profile() IS 'a profile that comes back from a dump takes the place of the one that the extension brought';
CREATE TRIGGER replace_shipped BEFORE INSERT ON dicom.anonymization_profile
	FOR EACH ROW EXECUTE FUNCTION dicom.replace_shipped_profile();
COMMENT ON TRIGGER replace_shipped ON dicom.anonymization_profile IS 'for pg_restore';

SELECT pg_catalog.pg_extension_config_dump('dicom.anonymization_profile', $$WHERE origin = 'user'$$);
SELECT pg_catalog.pg_extension_config_dump('dicom.anonymization_mapping',
	$$WHERE profile IN (SELECT p.profile FROM dicom.anonymization_profile p WHERE p.origin = 'user')$$);
SELECT pg_catalog.pg_extension_config_dump('dicom.anonymization_mapping_version',
	$$WHERE profile IN (SELECT p.profile FROM dicom.anonymization_profile p WHERE p.origin = 'user')$$);
SELECT pg_catalog.pg_extension_config_dump('dicom.profile_attribute',
	$$WHERE profile IN (SELECT p.profile FROM dicom.anonymization_profile p WHERE p.origin = 'user')$$);

/* --- types, as neighbouring systems name them --- */

CREATE FUNCTION dicom.target_type(name text)
RETURNS text
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	part text[] := pg_catalog.regexp_match(pg_catalog.lower(pg_catalog.btrim(name)),
		'^([a-z_][a-z0-9_]*(?: [a-z_]+)*) *(\( *[0-9]+ *(?:, *-?[0-9]+ *)?\))? *((?:\[[0-9]*\] *)*)$');
	base text;
	width text;
	known regtype;
BEGIN
	IF part IS NOT NULL THEN
		base := CASE part[1]
			WHEN 'string' THEN 'text' WHEN 'nvarchar' THEN 'varchar' WHEN 'character' THEN 'bpchar' WHEN 'char' THEN 'bpchar' WHEN 'clob' THEN 'text'
			WHEN 'number' THEN 'numeric' WHEN 'float' THEN 'float8' WHEN 'double' THEN 'float8' WHEN 'real' THEN 'float4'
			WHEN 'float64' THEN 'float8' WHEN 'float32' THEN 'float4'
			WHEN 'byteint' THEN 'int2' WHEN 'tinyint' THEN 'int2' WHEN 'utinyint' THEN 'int2'
			WHEN 'usmallint' THEN 'int4' WHEN 'mediumint' THEN 'int4' WHEN 'uinteger' THEN 'int8' WHEN 'ubigint' THEN 'numeric'
			WHEN 'hugeint' THEN 'numeric' WHEN 'uhugeint' THEN 'numeric' WHEN 'int64' THEN 'int8' WHEN 'int32' THEN 'int4' WHEN 'int16' THEN 'int2'
			WHEN 'uint8' THEN 'int4' WHEN 'uint16' THEN 'int4' WHEN 'uint32' THEN 'int8' WHEN 'uint64' THEN 'numeric'
			WHEN 'timestamp_ntz' THEN 'timestamp' WHEN 'datetime' THEN 'timestamp'
			WHEN 'timestamp_tz' THEN 'timestamptz' WHEN 'timestamp_ltz' THEN 'timestamptz'
			WHEN 'json' THEN 'jsonb' WHEN 'variant' THEN 'jsonb' WHEN 'object' THEN 'jsonb' WHEN 'array' THEN 'jsonb' WHEN 'struct' THEN 'jsonb'
			WHEN 'binary' THEN 'bytea' WHEN 'varbinary' THEN 'bytea' WHEN 'blob' THEN 'bytea'
			WHEN 'logical' THEN 'bool'
			ELSE part[1] END;
		/* A sequence is one JSON value here, whatever it is elsewhere; and a width is of use where PostgreSQL has one. */
		width := CASE WHEN base IN ('varchar', 'character varying', 'bpchar', 'numeric', 'decimal')
			THEN coalesce(pg_catalog.replace(part[2], ' ', ''), '') ELSE '' END;
		BEGIN
			known := pg_catalog.to_regtype(base || width);
		EXCEPTION WHEN OTHERS THEN
			known := NULL;
		END;
		/* "char" and the like have no place in a table. */
		IF known IS NOT NULL AND EXISTS (SELECT FROM pg_catalog.pg_type t WHERE t.oid = known AND t.typtype IN ('b', 'd', 'e')) THEN
			RETURN CASE WHEN width = '' THEN known::text ELSE known::text || width END
				|| CASE WHEN part[3] <> '' AND known <> 'jsonb'::regtype THEN '[]' ELSE '' END;
		END IF;
	END IF;
	RAISE EXCEPTION 'type "%" is not known', name
		USING ERRCODE = 'undefined_object',
			HINT = 'Name a type of PostgreSQL, or one of Snowflake, DuckDB or SQLite such as varchar(64), number(38, 0), timestamp_ntz, float, variant.';
END
$$;
REVOKE ALL ON FUNCTION dicom.target_type(text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.target_type(text) IS 'PostgreSQL''s name of a type of Snowflake, DuckDB, SQLite or its own';

/* --- what a row must be --- */

CREATE FUNCTION dicom.closest_match(given text, known text[])
RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	word text;
	before integer[];
	current integer[];
	best text;
	best_distance integer := 1 + pg_catalog.length(given) / 2;
BEGIN
	/* Levenshtein's distance, a row of the matrix at a time. */
	FOREACH word IN ARRAY known LOOP
		before := ARRAY(SELECT pg_catalog.generate_series(0, pg_catalog.length(word)));
		FOR i IN 1 .. pg_catalog.length(given) LOOP
			current := ARRAY[i];
			FOR j IN 1 .. pg_catalog.length(word) LOOP
				current[j + 1] := least(before[j + 1] + 1, current[j] + 1,
					before[j] + (pg_catalog.substr(given, i, 1) <> pg_catalog.substr(word, j, 1))::integer);
			END LOOP;
			before := current;
		END LOOP;
		IF before[pg_catalog.length(word) + 1] < best_distance THEN
			best := word;
			best_distance := before[pg_catalog.length(word) + 1];
		END IF;
	END LOOP;
	RETURN best;
END
$$;
REVOKE ALL ON FUNCTION dicom.closest_match(text, text[]) FROM PUBLIC;
COMMENT ON FUNCTION dicom.closest_match(text, text[]) IS 'which of the known names was probably meant; NULL: none is near';

/* What the rule engine takes of a row of the mapping. */
CREATE FUNCTION dicom.rule_parameters(rule text, domain text, params jsonb, null_policy text)
RETURNS jsonb
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(params, '{}')
		|| CASE WHEN rule IN ('full_hash', 'short_id', 'surrogate_key') THEN pg_catalog.jsonb_build_object('domain', domain) ELSE '{}' END
		|| CASE WHEN rule IN ('full_hash', 'surrogate_key') AND null_policy <> 'null' THEN pg_catalog.jsonb_build_object('null_policy', null_policy) ELSE '{}' END
$$;
REVOKE ALL ON FUNCTION dicom.rule_parameters(text, text, jsonb, text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.rule_parameters(text, text, jsonb, text) IS 'parameters of a rule of dicom.anonymization_mapping, as dicom.anonymize() takes them';

CREATE FUNCTION dicom.check_mapping_row()
RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	shared jsonb;
	problem text;
BEGIN
	NEW.schema_name := coalesce(pg_catalog.btrim(NEW.schema_name), '');
	NEW.table_name := coalesce(pg_catalog.btrim(NEW.table_name), '');
	NEW.column_name := coalesce(pg_catalog.btrim(NEW.column_name), '');
	NEW.target_function := coalesce(pg_catalog.lower(pg_catalog.btrim(NEW.target_function)), '');
	NEW.target_type := coalesce(pg_catalog.btrim(NEW.target_type), '');
	NEW.params := coalesce(NEW.params, '{}');
	NEW.null_policy := coalesce(nullif(pg_catalog.btrim(NEW.null_policy), ''), 'null');
	IF '' IN (NEW.schema_name, NEW.table_name, NEW.column_name) THEN
		RAISE EXCEPTION 'a rule needs a schema, a table and a column'
			USING ERRCODE = 'check_violation', DETAIL = pg_catalog.format('Row (%s, %s, %s).', NEW.schema_name, NEW.table_name, NEW.column_name);
	END IF;
	INSERT INTO dicom.anonymization_profile (profile) VALUES (NEW.profile) ON CONFLICT DO NOTHING;
	SELECT p.params INTO shared FROM dicom.anonymization_profile p WHERE p.profile = NEW.profile;
	/* A profile with a salt is one of the system that came before: its rules of these names are others. */
	IF shared ? 'salt' AND NEW.target_function IN ('full_hash', 'surrogate_key') THEN
		NEW.target_function := 'legacy_' || NEW.target_function;
		NEW.params := NEW.params || pg_catalog.jsonb_build_object('salt', shared -> 'salt');
	END IF;
	NEW.domain := coalesce(nullif(pg_catalog.btrim(NEW.domain), ''),
		CASE WHEN NEW.target_function ~ 'surrogate_key$' THEN NEW.table_name WHEN NEW.target_function IN ('full_hash', 'short_id') THEN NEW.column_name END);
	problem := CASE
		WHEN NEW.null_policy NOT IN ('null', 'marker') THEN pg_catalog.format('null_policy "%s" is neither null nor marker', NEW.null_policy)
		WHEN pg_catalog.jsonb_typeof(NEW.params) <> 'object' THEN 'params are no JSON object'
		WHEN NEW.target_function NOT IN ('', 'anonymize_dataset') THEN
			dicom.rule_error(NEW.target_function, dicom.rule_parameters(NEW.target_function, NEW.domain, NEW.params, NEW.null_policy))
		WHEN NEW.params <> '{}' THEN pg_catalog.format('rule "%s" takes no parameters', coalesce(nullif(NEW.target_function, ''), 'keep'))
	END;
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION '%', problem
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = pg_catalog.format('Column %s.%s.%s of profile %s.', NEW.schema_name, NEW.table_name, NEW.column_name, NEW.profile),
				HINT = 'See dicom.anonymization_rules() for the rules and their parameters; anonymize_dataset is for jsonb columns.';
	END IF;
	IF NEW.target_type <> '' THEN
		PERFORM dicom.target_type(NEW.target_type);
	END IF;
	RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION dicom.check_mapping_row() FROM PUBLIC;
COMMENT ON FUNCTION dicom.check_mapping_row() IS 'refuses a rule that cannot be applied, and fills in what a row of five columns leaves open';
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON dicom.anonymization_mapping
	FOR EACH ROW EXECUTE FUNCTION dicom.check_mapping_row();
COMMENT ON TRIGGER check_row ON dicom.anonymization_mapping IS 'refuses what cannot be applied';

/* --- versions --- */

CREATE FUNCTION dicom.rules_of_profile(profile text, OUT mapping jsonb, OUT attributes jsonb, OUT mapping_hash text, OUT attributes_hash text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	mapping := coalesce((
		SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(m) - 'profile'
			ORDER BY m.schema_name COLLATE "C", m.table_name COLLATE "C", m.column_name COLLATE "C")
		FROM dicom.anonymization_mapping m
		WHERE m.profile = rules_of_profile.profile), '[]');
	attributes := coalesce((
		SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(a) - 'profile' ORDER BY a.tag COLLATE "C")
		FROM dicom.profile_attribute a
		WHERE a.profile = rules_of_profile.profile), '[]');
	mapping_hash := pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(mapping::text, 'UTF8')), 'hex');
	attributes_hash := pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(attributes::text, 'UTF8')), 'hex');
END
$$;
REVOKE ALL ON FUNCTION dicom.rules_of_profile(text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.rules_of_profile(text) IS 'all rules of a profile, and their hashes';

/* changed: the table that was; after a restore its rows are those of the last version, while the other table may still be empty. */
CREATE FUNCTION dicom.record_profile(profile text, changed text)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	head dicom.anonymization_profile;
	now record;
BEGIN
	SELECT * INTO head FROM dicom.anonymization_profile p WHERE p.profile = record_profile.profile FOR UPDATE;
	IF NOT FOUND THEN
		RETURN NULL;
	END IF;
	SELECT * INTO now FROM dicom.rules_of_profile(head.profile);
	IF (changed = 'anonymization_mapping' AND head.mapping_hash = now.mapping_hash)
		OR (changed = 'profile_attribute' AND head.attributes_hash = now.attributes_hash) THEN
		RETURN head.version;
	END IF;
	INSERT INTO dicom.anonymization_mapping_version (profile, version, content_hash, mapping, attributes)
	VALUES (head.profile, head.version + 1,
		pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(now.mapping_hash || now.attributes_hash, 'UTF8')), 'hex'),
		now.mapping, now.attributes);
	UPDATE dicom.anonymization_profile p
	SET version = head.version + 1, mapping_hash = now.mapping_hash, attributes_hash = now.attributes_hash, origin = 'user'
	WHERE p.profile = head.profile;
	RETURN head.version + 1;
END
$$;
REVOKE ALL ON FUNCTION dicom.record_profile(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.record_profile(text, text) IS 'records the rules of a profile as a new version, if they are not those of the last';

CREATE FUNCTION dicom.rules_changed()
RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	profiles text[];
	told record;
BEGIN
	CASE TG_OP
		WHEN 'TRUNCATE' THEN
			profiles := ARRAY(SELECT p.profile FROM dicom.anonymization_profile p ORDER BY 1);
		WHEN 'UPDATE' THEN
			profiles := ARRAY(SELECT c.profile FROM changed c UNION SELECT b.profile FROM before b ORDER BY 1);
		ELSE
			profiles := ARRAY(SELECT DISTINCT c.profile FROM changed c ORDER BY 1);
	END CASE;
	FOR i IN 1 .. pg_catalog.cardinality(profiles) LOOP
		PERFORM dicom.record_profile(profiles[i], TG_TABLE_NAME);
		CONTINUE WHEN TG_OP NOT IN ('INSERT', 'UPDATE') OR TG_TABLE_NAME <> 'anonymization_mapping';
		SELECT pg_catalog.count(*) AS findings,
			pg_catalog.string_agg(pg_catalog.concat_ws('.', v.table_name, v.column_name) || ': ' || v.problem, E'\n' ORDER BY v.place) FILTER (WHERE v.place <= 5) AS text
			INTO told
			FROM (
				SELECT v.table_name, v.column_name, v.problem, pg_catalog.row_number() OVER (ORDER BY v.severity, v.table_name COLLATE "C", v.column_name COLLATE "C", v.problem COLLATE "C") AS place
				FROM dicom.validate_mapping(profiles[i]) v
				WHERE v.severity <> 'notice'
					AND EXISTS (
						SELECT FROM changed c
						WHERE (c.profile, c.schema_name, c.table_name) = (profiles[i], v.schema_name, v.table_name) AND c.column_name = coalesce(v.column_name, c.column_name))
			) v;
		IF told.findings > 0 THEN
			RAISE WARNING 'rules of profile "%" want to be looked at: %', profiles[i], told.findings
				USING ERRCODE = '01000', DETAIL = told.text || CASE WHEN told.findings > 5 THEN E'\n...' ELSE '' END,
					HINT = pg_catalog.format('SELECT * FROM dicom.validate_mapping(%L);', profiles[i]);
		END IF;
	END LOOP;
	RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION dicom.rules_changed() FROM PUBLIC;
COMMENT ON FUNCTION dicom.rules_changed() IS 'keeps a version of the rules, and warns of those that do not do what they seem to';

CREATE TRIGGER inserted AFTER INSERT ON dicom.anonymization_mapping
	REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION dicom.rules_changed();
CREATE TRIGGER updated AFTER UPDATE ON dicom.anonymization_mapping
	REFERENCING OLD TABLE AS before NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION dicom.rules_changed();
CREATE TRIGGER deleted AFTER DELETE ON dicom.anonymization_mapping
	REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION dicom.rules_changed();
CREATE TRIGGER truncated AFTER TRUNCATE ON dicom.anonymization_mapping
	FOR EACH STATEMENT EXECUTE FUNCTION dicom.rules_changed();
CREATE TRIGGER inserted AFTER INSERT ON dicom.profile_attribute
	REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION dicom.rules_changed();
CREATE TRIGGER updated AFTER UPDATE ON dicom.profile_attribute
	REFERENCING OLD TABLE AS before NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION dicom.rules_changed();
CREATE TRIGGER deleted AFTER DELETE ON dicom.profile_attribute
	REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION dicom.rules_changed();
CREATE TRIGGER truncated AFTER TRUNCATE ON dicom.profile_attribute
	FOR EACH STATEMENT EXECUTE FUNCTION dicom.rules_changed();

COMMENT ON TRIGGER inserted ON dicom.anonymization_mapping IS 'keeps versions, warns';
COMMENT ON TRIGGER updated ON dicom.anonymization_mapping IS 'keeps versions, warns';
COMMENT ON TRIGGER deleted ON dicom.anonymization_mapping IS 'keeps versions';
COMMENT ON TRIGGER truncated ON dicom.anonymization_mapping IS 'keeps versions';
COMMENT ON TRIGGER inserted ON dicom.profile_attribute IS 'keeps versions';
COMMENT ON TRIGGER updated ON dicom.profile_attribute IS 'keeps versions';
COMMENT ON TRIGGER deleted ON dicom.profile_attribute IS 'keeps versions';
COMMENT ON TRIGGER truncated ON dicom.profile_attribute IS 'keeps versions';

CREATE FUNCTION dicom.copy_profile(source text, target text, description text DEFAULT NULL)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	rules integer;
BEGIN
	PERFORM dicom.check_profile(source);
	INSERT INTO dicom.anonymization_profile (profile, description, params, judged_by)
	SELECT target, coalesce(copy_profile.description, p.description), p.params, p.judged_by
	FROM dicom.anonymization_profile p WHERE p.profile = source;
	/* One statement, so that it is one version. */
	WITH attributes AS (
		INSERT INTO dicom.profile_attribute (profile, tag, keyword, action, rule, params)
		SELECT target, a.tag, a.keyword, a.action, a.rule, a.params
		FROM dicom.profile_attribute a WHERE a.profile = source
	)
	INSERT INTO dicom.anonymization_mapping
	SELECT (pg_catalog.jsonb_populate_record(m, pg_catalog.jsonb_build_object('profile', target))).*
	FROM dicom.anonymization_mapping m WHERE m.profile = source;
	GET DIAGNOSTICS rules = ROW_COUNT;
	RETURN rules;
END
$$;
REVOKE ALL ON FUNCTION dicom.copy_profile(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.copy_profile(text, text, text) IS 'makes a profile of one''s own out of another, to be changed then; returns how many columns it has rules for';

CREATE FUNCTION dicom.check_profile(profile text)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF profile IS NULL THEN
		RETURN 'research';
	END IF;
	IF NOT EXISTS (SELECT FROM dicom.anonymization_profile p WHERE p.profile = check_profile.profile) THEN
		RAISE EXCEPTION 'profile "%" does not exist', profile
			USING ERRCODE = 'undefined_object',
				HINT = coalesce('Perhaps you meant "' || dicom.closest_match(profile, ARRAY(SELECT p.profile FROM dicom.anonymization_profile p)) || '".',
					'There are ' || (SELECT pg_catalog.string_agg(p.profile, ', ' ORDER BY p.profile) FROM dicom.anonymization_profile p) || '.');
	END IF;
	RETURN profile;
END
$$;
REVOKE ALL ON FUNCTION dicom.check_profile(text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.check_profile(text) IS 'the profile of that name, research for NULL; an error if there is none';

/* --- rules as CSV --- */

CREATE FUNCTION dicom.csv_fields(csv text)
RETURNS TABLE (line integer, field integer, value text)
LANGUAGE plpgsql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	part text[];
	seen text := '';
	taken integer := 0;
BEGIN
	line := 1;
	field := 1;
	/* A field in quotes, or one without, in which a comma may stand between parentheses: number(38, 0). */
	FOR part IN
		SELECT pg_catalog.regexp_matches(csv,
			'(([ \t]*"((?:[^"]|"")*)"[ \t]*|(?:[^,"()\r\n]|\([^()\r\n]*\))*)(,|\r\n|\n|\r|$))', 'g')
	LOOP
		EXIT WHEN part[1] = '';
		seen := seen || part[1];
		value := CASE
			WHEN part[3] IS NOT NULL THEN pg_catalog.replace(part[3], '""', '"')
			ELSE pg_catalog.btrim(part[2], E' \t') END;
		RETURN NEXT;
		field := field + 1;
		CONTINUE WHEN part[4] = ',';
		/* What no field can begin with is passed over by the search, but not by us. */
		EXIT WHEN pg_catalog.substr(csv, taken + 1, pg_catalog.length(seen)) <> seen;
		taken := taken + pg_catalog.length(seen);
		seen := '';
		line := line + 1;
		field := 1;
	END LOOP;
	IF taken <> pg_catalog.length(csv) THEN
		RAISE EXCEPTION 'CSV has a quote or a parenthesis that has no partner'
			USING ERRCODE = 'invalid_text_representation',
				DETAIL = pg_catalog.format('Record %s.', line),
				HINT = 'Write a value that holds quotes, commas or line ends in double quotes, and each quote in it twice.';
	END IF;
END
$$;
REVOKE ALL ON FUNCTION dicom.csv_fields(text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.csv_fields(text) IS 'fields of a CSV text, one by one, without blanks around them';

CREATE FUNCTION dicom.mapping_of_csv(csv text)
RETURNS TABLE (line integer, mapping dicom.anonymization_mapping)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known CONSTANT text[] := ARRAY['schema_name', 'table_name', 'column_name', 'target_function', 'target_type', 'domain', 'params',
		'null_policy', 'key_ordinal', 'quasi_identifier', 'reason'];
	header text[];
	unknown text;
	fields text[];
	values jsonb;
BEGIN
	/* A byte order mark, and lines that are comments, are none of the data. */
	FOR line, fields IN
		SELECT f.line, pg_catalog.array_agg(f.value ORDER BY f.field)
		FROM dicom.csv_fields(pg_catalog.ltrim(csv, U&'\FEFF')) f
		GROUP BY f.line
		HAVING pg_catalog.string_agg(f.value, '') <> '' AND NOT coalesce(pg_catalog.min(f.value) FILTER (WHERE f.field = 1) ^@ '#', false)
		ORDER BY f.line
	LOOP
		IF header IS NULL THEN
			header := ARRAY(SELECT pg_catalog.lower(h) FROM pg_catalog.unnest(fields) WITH ORDINALITY u(h, i) ORDER BY i);
			SELECT h INTO unknown FROM pg_catalog.unnest(header) h WHERE h <> ALL (known) LIMIT 1;
			IF unknown IS NOT NULL OR NOT header @> known[1:4] OR pg_catalog.cardinality(header) <> (SELECT pg_catalog.count(DISTINCT h) FROM pg_catalog.unnest(header) h) THEN
				RAISE EXCEPTION 'CSV does not begin with the names of the columns'
					USING ERRCODE = 'invalid_text_representation',
						DETAIL = coalesce(pg_catalog.format('"%s" is none.', unknown), 'One is missing or there twice.'),
						HINT = coalesce('Perhaps you meant "' || dicom.closest_match(unknown, known) || '".',
							'They are ' || pg_catalog.array_to_string(known, ', ') || '; the first four must be there.');
			END IF;
			CONTINUE;
		END IF;
		IF pg_catalog.cardinality(fields) > pg_catalog.cardinality(header) THEN
			RAISE EXCEPTION 'CSV has a record of more fields than it has columns'
				USING ERRCODE = 'invalid_text_representation', DETAIL = pg_catalog.format('Record %s.', line);
		END IF;
		SELECT pg_catalog.jsonb_object_agg(header[i], CASE WHEN header[i] = 'params' THEN v::jsonb ELSE pg_catalog.to_jsonb(v) END)
			INTO values
			FROM pg_catalog.unnest(fields) WITH ORDINALITY u(v, i)
			WHERE v <> '';
		mapping := pg_catalog.jsonb_populate_record(NULL::dicom.anonymization_mapping, coalesce(values, '{}'));
		RETURN NEXT;
	END LOOP;
	IF header IS NULL THEN
		RAISE EXCEPTION 'CSV is empty' USING ERRCODE = 'invalid_text_representation';
	END IF;
END
$$;
REVOKE ALL ON FUNCTION dicom.mapping_of_csv(text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.mapping_of_csv(text) IS 'rows of dicom.anonymization_mapping out of a CSV text';

CREATE FUNCTION dicom.load_mapping(csv text, profile text DEFAULT 'research', replace boolean DEFAULT true)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	twice text;
	rules integer;
BEGIN
	IF csv IS NULL OR profile IS NULL THEN
		RAISE EXCEPTION 'a CSV text and a profile are needed' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	SELECT pg_catalog.format('%s.%s.%s', (c.mapping).schema_name, (c.mapping).table_name, (c.mapping).column_name) INTO twice
		FROM dicom.mapping_of_csv(csv) c
		GROUP BY 1 HAVING pg_catalog.count(*) > 1 LIMIT 1;
	IF twice IS NOT NULL THEN
		RAISE EXCEPTION 'CSV has two rules for one column' USING ERRCODE = 'unique_violation', DETAIL = pg_catalog.format('Column %s.', twice);
	END IF;
	/* One statement, so that it is one version. */
	WITH incoming AS (
		SELECT
			(c.mapping).*,
			CASE WHEN (c.mapping).target_function ~* '^ *(legacy_)?surrogate_key *$' THEN
				pg_catalog.row_number() OVER (PARTITION BY (c.mapping).schema_name, (c.mapping).table_name, (c.mapping).domain, (c.mapping).target_function ORDER BY c.line)
			END AS place
		FROM dicom.mapping_of_csv(csv) c
	), gone AS (
		DELETE FROM dicom.anonymization_mapping m
		WHERE replace AND m.profile = load_mapping.profile
			AND NOT EXISTS (
				SELECT FROM incoming i
				WHERE (i.schema_name, i.table_name, i.column_name) = (m.schema_name, m.table_name, m.column_name))
	)
	INSERT INTO dicom.anonymization_mapping AS m (profile, schema_name, table_name, column_name, target_function, target_type, domain, params,
		null_policy, key_ordinal, quasi_identifier, reason)
	SELECT
		load_mapping.profile, i.schema_name, i.table_name, i.column_name, coalesce(i.target_function, ''), coalesce(i.target_type, ''), i.domain, coalesce(i.params, '{}'),
		coalesce(i.null_policy, 'null'), coalesce(i.key_ordinal, i.place), coalesce(i.quasi_identifier, false), i.reason
	FROM incoming i
	ON CONFLICT ON CONSTRAINT anonymization_mapping_pkey DO UPDATE
	SET target_function = excluded.target_function, target_type = excluded.target_type, domain = excluded.domain, params = excluded.params,
		null_policy = excluded.null_policy, key_ordinal = excluded.key_ordinal, quasi_identifier = excluded.quasi_identifier, reason = excluded.reason;
	GET DIAGNOSTICS rules = ROW_COUNT;
	RETURN rules;
END
$$;
REVOKE ALL ON FUNCTION dicom.load_mapping(text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION dicom.load_mapping(text, text, boolean) IS
	'takes the rules of a profile from a CSV text, whose first line names the columns: schema_name, table_name, column_name, target_function, target_type and those of dicom.anonymization_mapping; rules that it does not have are deleted unless replace is false; returns how many it has';

CREATE FUNCTION dicom.load_mapping_file(path text, profile text DEFAULT 'research', replace boolean DEFAULT true)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	csv text;
BEGIN
	/* COPY asks for the right to read files of the server; a control character as quote and delimiter leaves lines whole. */
	CREATE TEMPORARY TABLE dicom_mapping_lines (line text, number integer GENERATED ALWAYS AS IDENTITY) ON COMMIT DROP;
	EXECUTE pg_catalog.format('COPY pg_temp.dicom_mapping_lines (line) FROM %L (FORMAT csv, DELIMITER E''\x01'', QUOTE E''\x02'', NULL E''\x03'', ENCODING ''UTF8'')', path);
	SELECT pg_catalog.string_agg(line, E'\n' ORDER BY number) INTO csv FROM pg_temp.dicom_mapping_lines;
	DROP TABLE pg_temp.dicom_mapping_lines;
	RETURN dicom.load_mapping(coalesce(csv, ''), profile, replace);
END
$$;
REVOKE ALL ON FUNCTION dicom.load_mapping_file(text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION dicom.load_mapping_file(text, text, boolean) IS 'dicom.load_mapping() of a file on the server, for members of pg_read_server_files';

CREATE FUNCTION dicom.csv_field(value text)
RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN value IS NULL THEN ''
		WHEN value ~ '[",\r\n()]|^[ \t#]|[ \t]$' THEN '"' || pg_catalog.replace(value, '"', '""') || '"'
		ELSE value END
$$;
REVOKE ALL ON FUNCTION dicom.csv_field(text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.csv_field(text) IS 'a value as a field of CSV, in quotes where it must be';

CREATE FUNCTION dicom.export_mapping(profile text DEFAULT 'research')
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT E'schema_name,table_name,column_name,target_function,target_type,domain,params,null_policy,key_ordinal,quasi_identifier,reason\n'
		|| coalesce(pg_catalog.string_agg(pg_catalog.concat_ws(',',
			dicom.csv_field(m.schema_name), dicom.csv_field(m.table_name), dicom.csv_field(m.column_name),
			dicom.csv_field(m.target_function), dicom.csv_field(m.target_type), dicom.csv_field(m.domain),
			dicom.csv_field(nullif(m.params, '{}')::text), dicom.csv_field(m.null_policy), dicom.csv_field(m.key_ordinal::text),
			dicom.csv_field(m.quasi_identifier::text), dicom.csv_field(m.reason)) || E'\n', ''
			ORDER BY m.schema_name COLLATE "C", m.table_name COLLATE "C", m.column_name COLLATE "C"), '')
	FROM dicom.anonymization_mapping m
	WHERE m.profile = dicom.check_profile(export_mapping.profile)
$$;
REVOKE ALL ON FUNCTION dicom.export_mapping(text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.export_mapping(text) IS 'the rules of a profile as CSV, as dicom.load_mapping() takes it';

/* --- which rows are for which table --- */

CREATE FUNCTION dicom.entity_of(relation regclass)
RETURNS text
LANGUAGE sql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT o.option_value
	FROM pg_catalog.pg_foreign_table t
		JOIN pg_catalog.pg_foreign_server s ON s.oid = t.ftserver
		JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw AND w.fdwname = 'dicom_fdw',
		pg_catalog.pg_options_to_table(t.ftoptions) o
	WHERE t.ftrelid = relation AND o.option_name = 'entity'
	UNION ALL
	SELECT pg_catalog.regexp_replace(y.typname, '_row$', '')
	FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_type y ON y.oid = c.reloftype AND y.typnamespace = 'dicom'::pg_catalog.regnamespace
	WHERE c.oid = relation
	LIMIT 1
$$;
REVOKE ALL ON FUNCTION dicom.entity_of(regclass) FROM PUBLIC;
COMMENT ON FUNCTION dicom.entity_of(regclass) IS 'the entity that a foreign table of dicom_fdw shows, or that a table is typed by; NULL: none';

CREATE FUNCTION dicom.mapped_table(relation regclass, profile text, OUT schema_name text, OUT table_name text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT m.schema_name, m.table_name
	FROM dicom.anonymization_mapping m
		JOIN pg_catalog.pg_class c ON c.oid = relation
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE m.profile = mapped_table.profile
		AND ((m.schema_name, m.table_name) = (n.nspname, c.relname)
			OR m.schema_name = 'raw' AND m.table_name IN (c.relname, dicom.entity_of(relation)))
	ORDER BY (m.schema_name, m.table_name) = (n.nspname, c.relname) DESC, m.table_name = c.relname DESC
	LIMIT 1
$$;
REVOKE ALL ON FUNCTION dicom.mapped_table(regclass, text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.mapped_table(regclass, text) IS
	'whose rules a table goes by: its own, or those of schema raw for a table of its name, or for its entity; NULL: it has none';

CREATE FUNCTION dicom.relation_of_mapping(schema_name text, table_name text)
RETURNS oid
LANGUAGE sql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(
		(SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname = schema_name AND c.relname = table_name AND c.relkind IN ('r', 'v', 'm', 'f', 'p')),
		(SELECT y.typrelid FROM pg_catalog.pg_type y
			WHERE schema_name = 'raw' AND y.typnamespace = 'dicom'::pg_catalog.regnamespace AND y.typname = table_name || '_row'),
		(SELECT c.oid
			FROM pg_catalog.pg_class c
				JOIN pg_catalog.pg_foreign_table t ON t.ftrelid = c.oid
				JOIN pg_catalog.pg_foreign_server s ON s.oid = t.ftserver
				JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw AND w.fdwname = 'dicom_fdw'
			WHERE schema_name = 'raw' AND c.relname = table_name
			ORDER BY c.oid LIMIT 1))
$$;
REVOKE ALL ON FUNCTION dicom.relation_of_mapping(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.relation_of_mapping(text, text) IS 'the table, or row type of an entity, that a rule is for; NULL: there is none yet';

CREATE FUNCTION dicom.attribute_of_column(relation oid, column_name text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(
		(SELECT o.option_value
			FROM pg_catalog.pg_attribute a, pg_catalog.pg_options_to_table(a.attfdwoptions) o
			WHERE a.attrelid = relation AND a.attname = attribute_of_column.column_name AND o.option_name = 'tag'),
		column_name)
$$;
REVOKE ALL ON FUNCTION dicom.attribute_of_column(oid, text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.attribute_of_column(oid, text) IS 'what names the DICOM attribute of a column: its option tag, or the column''s name';

CREATE FUNCTION dicom.attribute_action(profile text, attribute text)
RETURNS dicom.profile_attribute
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	/* (0010,0010), 00100010, PatientName and patient_name are one; of a path the last step counts. */
	WITH wanted AS MATERIALIZED (
		SELECT
			pg_catalog.lower(pg_catalog.replace(s.step, '_', '')) AS keyword,
			pg_catalog.substring(pg_catalog.upper(pg_catalog.translate(s.step, '(), ', '')), '^[0-9A-F]{8}$') AS tag
		FROM pg_catalog.regexp_replace(pg_catalog.regexp_replace(attribute, '^.*\.', ''), '\[[0-9]+\]$', '') AS s(step)
	)
	SELECT a
	FROM wanted w
		JOIN dicom.profile_attribute a
			ON pg_catalog.lower(a.keyword) = w.keyword OR w.tag LIKE pg_catalog.replace(a.tag, 'x', '_')
	WHERE a.profile = attribute_action.profile
	LIMIT 1
$$;
REVOKE ALL ON FUNCTION dicom.attribute_action(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.attribute_action(text, text) IS 'what a profile does to a DICOM attribute, given by keyword, tag or column; NULL: PS3.15 does not list it';

/* --- what is wrong with the rules --- */

CREATE FUNCTION dicom.rule_width(rule text)
RETURNS integer
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE rule
		WHEN 'full_hash' THEN 64 WHEN 'surrogate_key' THEN 64 WHEN 'legacy_full_hash' THEN 64 WHEN 'legacy_surrogate_key' THEN 64
		WHEN 'uid_remap' THEN 64 WHEN 'short_id' THEN 21 END
$$;
REVOKE ALL ON FUNCTION dicom.rule_width(text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.rule_width(text) IS 'characters of the pseudonyms that a rule makes; NULL: it makes none';

CREATE FUNCTION dicom.validate_mapping(profile text DEFAULT NULL)
RETURNS TABLE (severity text, schema_name text, table_name text, column_name text, problem text, hint text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	chosen CONSTANT text := dicom.check_profile(profile);
	judge CONSTANT text := (SELECT p.judged_by FROM dicom.anonymization_profile p WHERE p.profile = chosen);
BEGIN
	RETURN QUERY
	WITH tables AS MATERIALIZED (
		SELECT t.s, t.t, dicom.relation_of_mapping(t.s, t.t) AS relid
		FROM (SELECT DISTINCT m.schema_name AS s, m.table_name AS t FROM dicom.anonymization_mapping m WHERE m.profile = chosen) t
	), columns AS MATERIALIZED (
		SELECT t.s, t.t, a.attname::text AS c, a.atttypid
		FROM tables t
			JOIN pg_catalog.pg_attribute a ON a.attrelid = t.relid AND a.attnum > 0 AND NOT a.attisdropped
	), rules AS MATERIALIZED (
		SELECT m.*, coalesce(nullif(m.target_function, ''), 'keep') AS rule, t.relid, c.atttypid,
			dicom.rule_width(m.target_function) AS width,
			CASE WHEN m.target_type <> '' THEN dicom.target_type(m.target_type) END AS type,
			dicom.attribute_of_column(t.relid, m.column_name) AS attribute
		FROM dicom.anonymization_mapping m
			JOIN tables t ON (t.s, t.t) = (m.schema_name, m.table_name)
			LEFT JOIN columns c ON (c.s, c.t, c.c) = (m.schema_name, m.table_name, m.column_name)
		WHERE m.profile = chosen
	), found AS (
		SELECT 'warning' AS severity, t.s, t.t, NULL::text AS c, 'there is no such table yet' AS problem,
			'Perhaps you meant "' || dicom.closest_match(t.t, ARRAY['patients', 'devices', 'studies', 'series', 'images']) || '".' AS hint
		FROM tables t WHERE t.relid IS NULL
		UNION ALL
		SELECT 'error', r.schema_name, r.table_name, r.column_name, 'the table has no such column',
			'Perhaps you meant "' || dicom.closest_match(r.column_name, ARRAY(SELECT c.c FROM columns c WHERE (c.s, c.t) = (r.schema_name, r.table_name))) || '".'
		FROM rules r WHERE r.relid IS NOT NULL AND r.atttypid IS NULL
		UNION ALL
		SELECT 'error', r.schema_name, r.table_name, r.column_name, e.problem,
			'See dicom.anonymization_rules() for the rules and their parameters.'
		FROM rules r, dicom.rule_error(r.rule, dicom.rule_parameters(r.rule, r.domain, r.params, r.null_policy)) e(problem)
		WHERE r.rule <> 'anonymize_dataset' AND e.problem IS NOT NULL
		UNION ALL
		SELECT CASE WHEN r.type ~ '^character' THEN 'warning' ELSE 'error' END, r.schema_name, r.table_name, r.column_name,
			CASE WHEN r.type ~ '^character' THEN pg_catalog.format('%s gives %s characters, which %s is too short for: it is widened, for cut they would not join', r.rule, r.width, r.type)
				ELSE pg_catalog.format('%s gives text, which is no %s', r.rule, r.type) END,
			CASE WHEN r.rule = 'uid_remap' OR r.rule ~ '^legacy' THEN 'Leave target_type empty, or write varchar(64).'
				ELSE 'Leave target_type empty, write varchar(64), or use short_id, which gives 21 characters.' END
		FROM rules r
		WHERE r.type <> 'text' AND r.width IS NOT NULL
			AND coalesce(pg_catalog.substring(r.type, '^character.*\(([0-9]+)\)$')::integer, CASE WHEN r.type ~ '^(character varying|text)(\[\])?$' THEN r.width ELSE 0 END) < r.width
		UNION ALL
		SELECT 'error', r.schema_name, r.table_name, r.column_name,
			pg_catalog.format('domain "%s" goes through %s here, and through %s in %s: its values no longer join', r.domain, r.rule, o.rule, o.place),
			'Give both the same rule and type, or another domain to one.'
		FROM rules r
			CROSS JOIN LATERAL (
				SELECT o.rule, o.table_name || '.' || o.column_name AS place
				FROM rules o
				WHERE o.domain = r.domain AND o.width IS NOT NULL AND o.rule <> 'uid_remap'
					AND (o.rule, o.null_policy, o.params) IS DISTINCT FROM (r.rule, r.null_policy, r.params)
				ORDER BY o.schema_name, o.table_name, o.column_name
				LIMIT 1) o
		WHERE r.width IS NOT NULL AND r.rule <> 'uid_remap'
		UNION ALL
		SELECT 'warning', r.schema_name, r.table_name, r.column_name,
			pg_catalog.format('it goes through %s here, and through %s in %s: the two no longer join', r.rule, o.rule, o.table_name),
			'Columns that join must have one rule and one domain.'
		FROM rules r
			JOIN rules o ON o.column_name = r.column_name AND o.table_name <> r.table_name AND o.schema_name = r.schema_name
				AND (o.rule, CASE WHEN o.rule <> 'uid_remap' THEN o.domain END) IS DISTINCT FROM (r.rule, CASE WHEN r.rule <> 'uid_remap' THEN r.domain END)
				AND o.domain IS DISTINCT FROM r.domain
		WHERE r.width IS NOT NULL AND o.width IS NOT NULL
		UNION ALL
		SELECT 'warning', r.schema_name, r.table_name, r.column_name,
			CASE WHEN (a.entry).tag IS NULL THEN 'it is kept, and is a private attribute, which PS3.15 removes'
				ELSE pg_catalog.format('it is kept, and PS3.15 acts on %s: %s', (a.entry).keyword, (a.entry).action) END,
			CASE WHEN (a.entry).rule IS NULL THEN 'Use remove.' ELSE pg_catalog.format('Profile %s has %s.', judge, (a.entry).rule) END
		FROM rules r, LATERAL (SELECT dicom.attribute_action(judge, r.attribute) AS entry OFFSET 0) a
		WHERE r.rule = 'keep' AND ((a.entry).action !~ 'K' AND ((a.entry).rule <> 'keep' OR r.atttypid = 'jsonb'::regtype) OR (a.entry).tag IS NULL AND r.attribute ~ '^\([0-9A-Fa-f]{3}[13579bdfBDF],')
		UNION ALL
		SELECT 'warning', r.schema_name, r.table_name, r.column_name, 'it is a date that is kept beside dates that are shifted: the two together give the shift away',
			'Use date_shift, or remove.'
		FROM rules r
		WHERE r.rule = 'keep' AND r.atttypid IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
			AND EXISTS (SELECT FROM rules o WHERE o.rule = 'date_shift')
		UNION ALL
		SELECT 'error', r.schema_name, r.table_name, r.column_name, pg_catalog.format('%s is not for %s', r.rule, pg_catalog.format_type(r.atttypid, NULL)),
			CASE r.rule WHEN 'anonymize_dataset' THEN 'It is for jsonb columns that hold a sequence.' ELSE 'It is for dates, times and texts.' END
		FROM rules r
		WHERE r.rule = 'anonymize_dataset' AND r.atttypid <> 'jsonb'::regtype
			OR r.rule IN ('date_shift', 'date_truncate') AND r.atttypid <> ALL (ARRAY['date'::regtype, 'time'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype, 'text'::regtype, 'varchar'::regtype])
			OR r.rule = 'generalize_number' AND r.atttypid <> ALL (ARRAY['int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'float4'::regtype, 'float8'::regtype, 'numeric'::regtype, 'text'::regtype, 'varchar'::regtype])
		UNION ALL
		SELECT 'warning', r.schema_name, r.table_name, NULL,
			CASE WHEN h.study THEN 'dates are shifted by their study, for there is no patient_id: intervals between studies are not kept'
				ELSE 'dates cannot be shifted, for there is neither patient_id nor study_instance_uid: they become NULL' END,
			'Add patient_id and issuer_of_patient_id to the raw table.'
		FROM (SELECT DISTINCT r.schema_name, r.table_name FROM rules r WHERE r.rule = 'date_shift' AND r.relid IS NOT NULL) r,
			LATERAL (SELECT
				EXISTS (SELECT FROM columns c WHERE (c.s, c.t, c.c) = (r.schema_name, r.table_name, 'patient_id')) AS patient,
				EXISTS (SELECT FROM columns c WHERE (c.s, c.t, c.c) = (r.schema_name, r.table_name, 'study_instance_uid')) AS study) h
		WHERE NOT h.patient
		UNION ALL
		SELECT 'warning', r.schema_name, r.table_name, r.column_name, pg_catalog.format('place %s of surrogate key "%s" is taken twice', r.key_ordinal, r.domain), 'Number the columns of the key in key_ordinal.'
		FROM rules r
		WHERE r.rule ~ 'surrogate_key$' AND EXISTS (
			SELECT FROM rules o
			WHERE (o.schema_name, o.table_name, o.domain, o.key_ordinal) = (r.schema_name, r.table_name, r.domain, r.key_ordinal) AND o.column_name <> r.column_name)
		UNION ALL
		SELECT 'notice', c.s, c.t, c.c, 'it has no rule, and so is removed', 'Give it a rule; an empty one keeps it.'
		FROM columns c
		WHERE NOT EXISTS (SELECT FROM rules r WHERE (r.schema_name, r.table_name, r.column_name) = (c.s, c.t, c.c))
	)
	SELECT f.* FROM found f
	ORDER BY pg_catalog.array_position(ARRAY['error', 'warning', 'notice'], f.severity), f.s COLLATE "C", f.t COLLATE "C", f.c COLLATE "C", f.problem COLLATE "C";
END
$$;
REVOKE ALL ON FUNCTION dicom.validate_mapping(text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.validate_mapping(text) IS
	'what is wrong with the rules of a profile (research by default): error, it does not do what it says; warning, it may identify or not join; notice, a column is removed for want of a rule';
