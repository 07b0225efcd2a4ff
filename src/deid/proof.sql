
/* --- proof: what the derived tables still tell --- */

CREATE FUNCTION dicom.check_columns(relation regclass, columns text[])
RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known CONSTANT text[] := ARRAY(
		SELECT a.attname FROM pg_catalog.pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum);
	unknown text;
BEGIN
	SELECT c INTO unknown FROM pg_catalog.unnest(columns) c WHERE c <> ALL (known) LIMIT 1;
	IF unknown IS NOT NULL THEN
		RAISE EXCEPTION 'column "%" of table "%" does not exist', unknown, relation
			USING ERRCODE = 'undefined_column', HINT = 'Perhaps you meant "' || dicom.closest_match(unknown, known) || '".';
	ELSIF coalesce(pg_catalog.cardinality(columns), 0) = 0 THEN
		RAISE EXCEPTION 'no columns are named' USING ERRCODE = 'invalid_parameter_value', HINT = 'Name those that somebody might know of a person.';
	END IF;
	RETURN columns;
END
$$;
REVOKE ALL ON FUNCTION dicom.check_columns(regclass, text[]) FROM PUBLIC;
COMMENT ON FUNCTION dicom.check_columns(regclass, text[]) IS 'the columns, or an error where a table does not have them';

CREATE FUNCTION dicom.quasi_identifiers(relation regclass, profile text DEFAULT NULL)
RETURNS text[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ARRAY(
		SELECT a.attname::text
		FROM dicom.mapped_table(relation, dicom.check_profile(profile)) t
			JOIN dicom.anonymization_mapping m ON (m.profile, m.schema_name, m.table_name) = (dicom.check_profile(quasi_identifiers.profile), t.schema_name, t.table_name)
			JOIN pg_catalog.pg_attribute a ON a.attrelid = relation AND a.attname = m.column_name AND a.attnum > 0 AND NOT a.attisdropped
		WHERE m.quasi_identifier
		ORDER BY a.attnum)
$$;
REVOKE ALL ON FUNCTION dicom.quasi_identifiers(regclass, text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.quasi_identifiers(regclass, text) IS 'columns of a raw or derived table that the mapping of a profile calls quasi-identifiers';

CREATE FUNCTION dicom.k_anonymity(relation regclass, columns text[] DEFAULT NULL)
RETURNS TABLE (k bigint, classes bigint, rows bigint, classes_below_2 bigint, rows_below_2 bigint, classes_below_5 bigint, rows_below_5 bigint,
	classes_below_11 bigint, rows_below_11 bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	named CONSTANT text[] := dicom.check_columns(relation, coalesce(columns, dicom.quasi_identifiers(relation)));
BEGIN
	RETURN QUERY EXECUTE pg_catalog.format($query$
		SELECT min(n), count(*), coalesce(sum(n), 0)::bigint,
			count(*) FILTER (WHERE n < 2), coalesce(sum(n) FILTER (WHERE n < 2), 0)::bigint,
			count(*) FILTER (WHERE n < 5), coalesce(sum(n) FILTER (WHERE n < 5), 0)::bigint,
			count(*) FILTER (WHERE n < 11), coalesce(sum(n) FILTER (WHERE n < 11), 0)::bigint
		FROM (SELECT count(*) AS n FROM %s AS r GROUP BY %s) c
		$query$, relation, (SELECT pg_catalog.string_agg(pg_catalog.format('r.%I', c), ', ') FROM pg_catalog.unnest(named) c));
END
$$;
REVOKE ALL ON FUNCTION dicom.k_anonymity(regclass, text[]) FROM PUBLIC;
COMMENT ON FUNCTION dicom.k_anonymity(regclass, text[]) IS
	'how many rows at least share their values of the columns (by default those that the mapping calls quasi-identifiers), and how many classes and rows share them with less than 2, 5, 11';

CREATE FUNCTION dicom.l_diversity(relation regclass, columns text[], sensitive text)
RETURNS TABLE (l bigint, entropy_l double precision, classes bigint, rows bigint, classes_below_2 bigint, rows_below_2 bigint,
	classes_below_3 bigint, rows_below_3 bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	named CONSTANT text[] := dicom.check_columns(relation, coalesce(columns, dicom.quasi_identifiers(relation)));
	list CONSTANT text := (SELECT pg_catalog.string_agg(pg_catalog.format('r.%I', c), ', ') FROM pg_catalog.unnest(named) c);
BEGIN
	PERFORM dicom.check_columns(relation, ARRAY[sensitive]);
	RETURN QUERY EXECUTE pg_catalog.format($query$
		SELECT min(l), min(e), count(*), coalesce(sum(n), 0)::bigint,
			count(*) FILTER (WHERE l < 2), coalesce(sum(n) FILTER (WHERE l < 2), 0)::bigint,
			count(*) FILTER (WHERE l < 3), coalesce(sum(n) FILTER (WHERE l < 3), 0)::bigint
		FROM (
			SELECT count(*) AS l, sum(n)::bigint AS n, exp(-sum(n / total * ln(n / total)))::double precision AS e
			FROM (
				SELECT dense_rank() OVER (ORDER BY %1$s) AS class, count(*) AS n, sum(count(*)) OVER (PARTITION BY %1$s) AS total
				FROM %2$s AS r GROUP BY %1$s, r.%3$I) v
			GROUP BY class) c
		$query$, list, relation, sensitive);
END
$$;
REVOKE ALL ON FUNCTION dicom.l_diversity(regclass, text[], text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.l_diversity(regclass, text[], text) IS
	'how many values of a sensitive column at least the rows have that share their values of the columns, NULL being one of them; entropy_l weighs how even they are';

CREATE FUNCTION dicom.residual_texts(relation regclass, columns text[])
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	/* SQL for (name, value) of columns, in one pass; of JSON each scalar in it, of an array each element. */
	SELECT pg_catalog.format(E'SELECT v.name, v.value FROM %s AS r, LATERAL (\n%s) AS v(name, value)', relation,
		pg_catalog.string_agg(pg_catalog.format('SELECT %L, %s', a.attname, CASE
			WHEN a.type IN ('jsonb'::regtype, 'json'::regtype) THEN pg_catalog.format(
				$f$j.v #>> '{}' FROM pg_catalog.jsonb_path_query(%s::jsonb, '$.** ? (@.type() == "string" || @.type() == "number")') AS j(v)$f$, a.col)
			WHEN a.type::text LIKE '%[]' THEN pg_catalog.format('%s FROM pg_catalog.unnest(%s) AS e(v)',
				dicom.dicom_text('e.v', pg_catalog.replace(a.type::text, '[]', '')::regtype), a.col)
			ELSE dicom.dicom_text(a.col, a.type) END), E'\nUNION ALL '))
	FROM (
		SELECT a.attname, pg_catalog.format('r.%I', a.attname) AS col, CASE WHEN y.typtype = 'd' THEN y.typbasetype ELSE a.atttypid END::regtype AS type
		FROM pg_catalog.pg_attribute a
			JOIN pg_catalog.pg_type y ON y.oid = a.atttypid
		WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attname = ANY (columns)
	) a
$$;
REVOKE ALL ON FUNCTION dicom.residual_texts(regclass, text[]) FROM PUBLIC;
COMMENT ON FUNCTION dicom.residual_texts(regclass, text[]) IS 'SQL for the values of columns as text';

CREATE FUNCTION dicom.scan_residual(derived regclass, source regclass, profile text DEFAULT NULL, min_length integer DEFAULT 4)
RETURNS TABLE (derived_column text, source_column text, rule text, raw_values bigint, whole bigint, inside bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	chosen CONSTANT text := dicom.check_profile(profile);
	mapped record;
	hidden jsonb;
	seen text[];
BEGIN
	SELECT * INTO mapped FROM dicom.mapped_table(source, chosen);
	/* What a rule keeps, or keeps a clean part of, is not looked for: it may be there. Times are not shifted. */
	hidden := (
		SELECT pg_catalog.jsonb_object_agg(a.attname, coalesce(m.target_function, 'remove'))
		FROM pg_catalog.pg_attribute a
			LEFT JOIN dicom.anonymization_mapping m ON (m.profile, m.schema_name, m.table_name, m.column_name) = (chosen, mapped.schema_name, mapped.table_name, a.attname)
		WHERE a.attrelid = source AND a.attnum > 0 AND NOT a.attisdropped
			AND (coalesce(dicom.rule_strength(m.target_function), 5) >= 3 OR m.target_function ~ '^legacy_'
				OR m.target_function = 'date_shift' AND a.atttypid <> 'time'::regtype));
	seen := ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a WHERE a.attrelid = derived AND a.attnum > 0 AND NOT a.attisdropped);
	IF hidden IS NULL OR pg_catalog.cardinality(seen) = 0 THEN
		RETURN;
	END IF;
	/*
	 * Letters and digits alone are compared, in lower case (of other scripts whatever is no blank or punctuation of ASCII). A value of eight and more may stand anywhere; a shorter one, which a hash may hold
	 * by chance, only as words of their own. Of a name in parts each part is looked for too.
	 */
	RETURN QUERY EXECUTE pg_catalog.format($query$
		WITH raw_values AS MATERIALIZED (
			SELECT DISTINCT s.name, n.value
			FROM (%1$s) s,
				LATERAL (
					SELECT s.value
					UNION SELECT p FROM pg_catalog.regexp_split_to_table(s.value, '[\^=\\ ]+') p WHERE s.value ~ '[\^=]') part(value),
				LATERAL (SELECT pg_catalog.lower(pg_catalog.regexp_replace(part.value, $3, '', 'g')) AS value OFFSET 0) n
			WHERE pg_catalog.octet_length(n.value) >= $1
		), texts AS MATERIALIZED (
			SELECT DISTINCT d.name, pg_catalog.lower(d.value) AS text, pg_catalog.lower(pg_catalog.regexp_replace(d.value, $3, '', 'g')) AS value
			FROM (%2$s) d
			WHERE d.value <> ''
		), words AS MATERIALIZED (
			SELECT DISTINCT t.name, t.value, w.word
			FROM texts t,
				LATERAL (SELECT pg_catalog.regexp_split_to_array(t.text, $3) AS parts OFFSET 0) p,
				pg_catalog.generate_series(1, pg_catalog.cardinality(p.parts)) AS first,
				pg_catalog.generate_series(first, least(first + 5, pg_catalog.cardinality(p.parts))) AS last,
				LATERAL (SELECT pg_catalog.array_to_string(p.parts[first:last], '') AS word OFFSET 0) w
			WHERE pg_catalog.octet_length(w.word) >= $1 AND pg_catalog.length(w.word) < 8
		), pieces AS (
			SELECT t.name, t.value, pg_catalog.substr(t.value, i, 8) AS piece
			FROM texts t, pg_catalog.generate_series(1, pg_catalog.length(t.value) - 7) AS i
		), found AS (
			SELECT t.name AS derived, v.name AS source, v.value, true AS whole
			FROM raw_values v JOIN texts t ON t.value = v.value
			UNION ALL
			SELECT w.name, v.name, v.value, false
			FROM raw_values v JOIN words w ON w.word = v.value AND w.value <> v.value
			UNION ALL
			SELECT p.name, v.name, v.value, false
			FROM raw_values v JOIN pieces p ON p.piece = pg_catalog.left(v.value, 8) AND p.value <> v.value
			WHERE pg_catalog.length(v.value) >= 8 AND pg_catalog.strpos(p.value, v.value) > 0
			UNION ALL
			SELECT t.name, v.name, v.value, false
			FROM raw_values v JOIN texts t ON pg_catalog.strpos(t.value, v.value) > 0 AND t.value <> v.value
			WHERE v.value ~ '[^ -~]' AND t.value ~ '[^ -~]'
		)
		SELECT f.derived, f.source, $2 ->> f.source,
			(SELECT pg_catalog.count(*) FROM raw_values v WHERE v.name = f.source),
			pg_catalog.count(DISTINCT f.value) FILTER (WHERE f.whole),
			pg_catalog.count(DISTINCT f.value) FILTER (WHERE NOT f.whole)
		FROM found f
		GROUP BY f.derived, f.source
		ORDER BY 5 DESC, 6 DESC, 1, 2
		$query$, dicom.residual_texts(source, ARRAY(SELECT pg_catalog.jsonb_object_keys(hidden))), dicom.residual_texts(derived, seen))
	USING min_length, hidden, '[ -/:-@[-`{-~\s]+';
END
$$;
REVOKE ALL ON FUNCTION dicom.scan_residual(regclass, regclass, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION dicom.scan_residual(regclass, regclass, text, integer) IS
	'which columns of a derived table still hold values of columns of the raw one that the profile hides: how many, as the whole value or inside a longer one; never which. No row: none was found';

CREATE FUNCTION dicom.coverage(relation regclass, profile text DEFAULT NULL, epoch integer DEFAULT NULL)
RETURNS TABLE (column_name name, rule text, rows bigint, distinct_raw bigint, distinct_values bigint, null_fraction_raw double precision,
	null_fraction double precision, changed_fraction double precision)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	list text;
BEGIN
	/* A pair of texts for each column: before and after. One pass over the raw table. */
	SELECT pg_catalog.string_agg(pg_catalog.format('(%s, %L, %L, %s, (%s)::text)', a.attnum, a.attname, coalesce(c.rule, 'remove'),
			dicom.dicom_text(pg_catalog.format('r.%I', a.attname), a.atttypid::regtype),
			CASE WHEN c.expression IS NULL THEN 'NULL' ELSE dicom.dicom_text(c.expression, pg_catalog.regexp_replace(c.target_type, '\(.*\)', '')::regtype) END), E',\n\t'
			ORDER BY a.attnum) INTO list
		FROM pg_catalog.pg_attribute a
			LEFT JOIN dicom.anonymized_columns(relation, profile, epoch) c ON c.column_name = a.attname
		WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped;
	RETURN QUERY EXECUTE pg_catalog.format($query$
		SELECT v.name::name, v.rule, count(*), count(DISTINCT v.before), count(DISTINCT v.after),
			avg((v.before IS NULL)::integer)::double precision, avg((v.after IS NULL)::integer)::double precision,
			avg((v.before IS DISTINCT FROM v.after)::integer)::double precision
		FROM %s AS r, LATERAL (VALUES %s) AS v(place, name, rule, before, after)
		GROUP BY v.place, v.name, v.rule
		ORDER BY v.place
		$query$, relation, list);
END
$$;
REVOKE ALL ON FUNCTION dicom.coverage(regclass, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION dicom.coverage(regclass, text, integer) IS
	'applies a profile (research by default) to a raw table and says of each column which rule it went through, how many values there were and are, and how many rows were changed';

/* --- who applied which rules --- */

CREATE TABLE dicom.deid_audit
(
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	applied_by text NOT NULL DEFAULT session_user,
	relation text NOT NULL,
	profile text NOT NULL,
	mapping_version integer NOT NULL,
	content_hash text NOT NULL,
	epoch integer,
	rows bigint,
	purpose text,
	details jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX deid_audit_applied_at ON dicom.deid_audit (applied_at);
REVOKE ALL ON dicom.deid_audit FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('dicom.deid_audit', '');
SELECT pg_catalog.pg_extension_config_dump('dicom.deid_audit_id_seq', '');
COMMENT ON TABLE dicom.deid_audit IS 'each time that rules were applied to a raw table and the result was stored or given away; rows can be added only';
COMMENT ON COLUMN dicom.deid_audit.id IS 'in order';
COMMENT ON COLUMN dicom.deid_audit.applied_at IS 'when';
COMMENT ON COLUMN dicom.deid_audit.applied_by IS 'who: the role that logged in';
COMMENT ON COLUMN dicom.deid_audit.relation IS 'the raw table';
COMMENT ON COLUMN dicom.deid_audit.profile IS 'whose rules';
COMMENT ON COLUMN dicom.deid_audit.mapping_version IS 'their version, of dicom.anonymization_mapping_version';
COMMENT ON COLUMN dicom.deid_audit.content_hash IS 'the hash of that version';
COMMENT ON COLUMN dicom.deid_audit.epoch IS 'whose key pseudonyms were made with; NULL: no rule of the profile needs a key';
COMMENT ON COLUMN dicom.deid_audit.rows IS 'how many rows went through';
COMMENT ON COLUMN dicom.deid_audit.purpose IS 'what for';
COMMENT ON COLUMN dicom.deid_audit.details IS 'what else is worth knowing: counts, the run';
COMMENT ON INDEX dicom.deid_audit_applied_at IS 'applications of a time';

CREATE FUNCTION dicom.refuse_change()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION 'rows of "%" stay as they are', TG_TABLE_NAME USING ERRCODE = 'object_not_in_prerequisite_state';
END
$$;
REVOKE ALL ON FUNCTION dicom.refuse_change() FROM PUBLIC;
COMMENT ON FUNCTION dicom.refuse_change() IS 'trigger of tables to which rows are only added';
CREATE TRIGGER stays BEFORE UPDATE OR DELETE OR TRUNCATE ON dicom.deid_audit
	FOR EACH STATEMENT EXECUTE FUNCTION dicom.refuse_change();
COMMENT ON TRIGGER stays ON dicom.deid_audit IS 'rows are only added';

CREATE FUNCTION dicom.record_application(relation regclass, profile text DEFAULT NULL, epoch integer DEFAULT NULL, rows bigint DEFAULT NULL,
	purpose text DEFAULT NULL, details jsonb DEFAULT '{}')
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	version dicom.anonymization_mapping_version;
	keyed boolean;
	made bigint;
BEGIN
	SELECT v.* INTO version
		FROM dicom.anonymization_profile p
			JOIN dicom.anonymization_mapping_version v ON (v.profile, v.version) = (p.profile, p.version)
		WHERE p.profile = dicom.check_profile(record_application.profile);
	SELECT pg_catalog.bool_or(r.keyed) INTO keyed
		FROM dicom.anonymization_mapping m
			JOIN dicom.anonymization_rules() r ON r.rule = m.target_function
		WHERE m.profile = version.profile;
	INSERT INTO dicom.deid_audit (relation, profile, mapping_version, content_hash, epoch, rows, purpose, details)
	SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), version.profile, version.version, version.content_hash,
		CASE WHEN keyed THEN coalesce(record_application.epoch, dicom.record_epoch()) END,
		record_application.rows, record_application.purpose, coalesce(record_application.details, '{}')
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE c.oid = record_application.relation
	RETURNING id INTO made;
	RETURN made;
END
$$;
REVOKE ALL ON FUNCTION dicom.record_application(regclass, text, integer, bigint, text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dicom.record_application(regclass, text, integer, bigint, text, jsonb) IS
	'notes in dicom.deid_audit that the rules of a profile, as they are now, were applied to a raw table, and returns the number of the note';
