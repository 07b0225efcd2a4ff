
/* --- the query that applies the rules --- */

CREATE FUNCTION dicom.castable(value text, type regtype)
RETURNS boolean
LANGUAGE plpgsql STABLE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE pg_catalog.format('SELECT CAST($1 AS %s)', pg_catalog.format_type(type, NULL)) USING value;
	RETURN true;
EXCEPTION
	WHEN data_exception OR feature_not_supported THEN
		RETURN false;
END
$$;
REVOKE ALL ON FUNCTION dicom.castable(text, regtype) FROM PUBLIC;
COMMENT ON FUNCTION dicom.castable(text, regtype) IS 'whether a text can be read as a value of a type';

/* What follows makes SQL out of names and types: each value in it goes through format's %I and %L, each type through format_type(). */

CREATE FUNCTION dicom.dicom_text(expression text, type regtype)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN type = 'text'::regtype THEN expression
		WHEN type = 'date'::regtype THEN pg_catalog.format($f$pg_catalog.to_char(%s, 'YYYYMMDD')$f$, expression)
		WHEN type = 'time'::regtype THEN pg_catalog.format($f$pg_catalog.regexp_replace(pg_catalog.to_char(%s, 'HH24MISS.US'), '\.?0+$', '')$f$, expression)
		WHEN type = 'timestamp'::regtype THEN pg_catalog.format($f$pg_catalog.regexp_replace(pg_catalog.to_char(%s, 'YYYYMMDDHH24MISS.US'), '\.?0+$', '')$f$, expression)
		WHEN type::text LIKE '%[]' THEN pg_catalog.format($f$pg_catalog.array_to_string(%s, '\')$f$, expression)
		ELSE pg_catalog.format('%s::text', expression) END
$$;
REVOKE ALL ON FUNCTION dicom.dicom_text(text, regtype) FROM PUBLIC;
COMMENT ON FUNCTION dicom.dicom_text(text, regtype) IS 'SQL for the text that a value has in a DICOM file, of an expression of a type';

CREATE FUNCTION dicom.cast_expression(expression text, source regtype, target text)
RETURNS text
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	width CONSTANT text[] := pg_catalog.regexp_match(target, '\(([0-9]+)(?:,(-?[0-9]+))?\)');
	wanted CONSTANT regtype := pg_catalog.regexp_replace(target, '\(.*\)', '')::regtype;
	numbers CONSTANT regtype[] := ARRAY['int2', 'int4', 'int8', 'float4', 'float8', 'numeric'];
	is_text CONSTANT boolean := wanted IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype);
	lowest text;
	highest text;
BEGIN
	/* Several values into one: joined as text, the first of numbers. One into several: an array of one. */
	IF source::text LIKE '%[]' AND target NOT LIKE '%[]' AND NOT is_text AND wanted <> 'jsonb'::regtype THEN
		RETURN dicom.cast_expression(pg_catalog.format('(%s)[1]', expression), pg_catalog.replace(source::text, '[]', '')::regtype, target);
	ELSIF source::text NOT LIKE '%[]' AND target LIKE '%[]' THEN
		RETURN pg_catalog.format('CASE WHEN %s IS NOT NULL THEN ARRAY[%s] END', expression,
			dicom.cast_expression(expression, source, pg_catalog.replace(target, '[]', '')));
	ELSIF source = wanted AND width IS NULL OR source::text LIKE '%[]' AND target LIKE '%[]' THEN
		RETURN CASE WHEN source = wanted THEN expression ELSE pg_catalog.format('(%s)::%s', expression, target) END;
	ELSIF is_text THEN
		RETURN CASE WHEN target = 'text' THEN dicom.dicom_text(expression, source) ELSE pg_catalog.format('(%s)::%s', dicom.dicom_text(expression, source), target) END;
	ELSIF wanted = 'jsonb'::regtype THEN
		RETURN pg_catalog.format('pg_catalog.to_jsonb(%s)', expression);
	END IF;
	/* A number that is too large for its type is none; nor is NaN, which is larger than all. */
	IF source = ANY (numbers) AND wanted = ANY (numbers) THEN
		highest := CASE
			WHEN wanted = 'int2'::regtype THEN '32767'
			WHEN wanted = 'int4'::regtype THEN '2147483647'
			WHEN wanted = 'int8'::regtype AND source IN ('float4'::regtype, 'float8'::regtype) THEN '9.2e18'
			WHEN wanted = 'int8'::regtype THEN '9223372036854775807'
			WHEN wanted = 'float4'::regtype THEN '3.4e38'
			WHEN wanted = 'numeric'::regtype AND width IS NOT NULL THEN
				pg_catalog.format('(1e%s - 1e%s)', width[1]::integer - coalesce(width[2], '0')::integer, -coalesce(width[2], '0')::integer) END;
		lowest := '-' || highest;
		IF highest IS NULL OR source IN ('int2'::regtype, 'int4'::regtype) AND wanted IN ('int4'::regtype, 'int8'::regtype, 'float4'::regtype)
			OR source IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) AND wanted = 'numeric'::regtype AND width[1]::integer - coalesce(width[2], '0')::integer >= 19 THEN
			RETURN pg_catalog.format('(%s)::%s', expression, target);
		END IF;
		RETURN pg_catalog.format('CASE WHEN %1$s BETWEEN %2$s AND %3$s THEN (%1$s)::%4$s END', expression, lowest, highest, target);
	ELSIF EXISTS (
		SELECT FROM pg_catalog.pg_cast c
		WHERE c.castsource = source AND c.casttarget = wanted AND c.castcontext IN ('i', 'a')) THEN
		RETURN pg_catalog.format('(%s)::%s', expression, target);
	END IF;
	/* By way of text, and of a number the size is still to be looked at. */
	RETURN pg_catalog.format('CASE WHEN dicom.castable(%s, %L::pg_catalog.regtype) THEN %s END', dicom.dicom_text(expression, source), wanted,
		CASE WHEN width IS NULL THEN pg_catalog.format('(%s)::%s', dicom.dicom_text(expression, source), target)
			ELSE dicom.cast_expression(pg_catalog.format('(%s)::%s', dicom.dicom_text(expression, source), wanted), wanted, target) END);
END
$$;
REVOKE ALL ON FUNCTION dicom.cast_expression(text, regtype, text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.cast_expression(text, regtype, text) IS 'SQL that turns an expression of a type into another, and what cannot be turned into NULL';

CREATE FUNCTION dicom.each_expression(template text, col text, type regtype)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN type::text LIKE '%[]' THEN pg_catalog.format(
			'CASE WHEN %1$s IS NOT NULL THEN ARRAY(SELECT %2$s FROM pg_catalog.unnest(%1$s) WITH ORDINALITY AS e(v, i) ORDER BY e.i) END',
			col, pg_catalog.replace(template, '{}', dicom.dicom_text('e.v', pg_catalog.replace(type::text, '[]', '')::regtype)))
		ELSE pg_catalog.replace(template, '{}', dicom.dicom_text(col, type)) END
$$;
REVOKE ALL ON FUNCTION dicom.each_expression(text, text, regtype) FROM PUBLIC;
COMMENT ON FUNCTION dicom.each_expression(text, text, regtype) IS 'SQL that puts a column, or each value of one that is an array, as text into the place {} of a template';

/* What the rules of a row need of its other columns, as SQL; NULL where the table does not have it. */
CREATE FUNCTION dicom.row_context(relation regclass, OUT patient_id text, OUT issuer text, OUT study_instance_uid text, OUT known text)
LANGUAGE sql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
	WITH columns AS (
		SELECT a.attname, a.attnum, pg_catalog.format('r.%I', a.attname) AS col,
			CASE WHEN y.typtype = 'd' THEN y.typbasetype ELSE a.atttypid END::regtype AS type
		FROM pg_catalog.pg_attribute a
			JOIN pg_catalog.pg_type y ON y.oid = a.atttypid
		WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
	)
	SELECT
		pg_catalog.max(dicom.dicom_text(c.col, c.type)) FILTER (WHERE c.attname = 'patient_id'),
		pg_catalog.max(dicom.dicom_text(c.col, c.type)) FILTER (WHERE c.attname = 'issuer_of_patient_id'),
		pg_catalog.max(dicom.dicom_text(c.col, c.type)) FILTER (WHERE c.attname = 'study_instance_uid'),
		'ARRAY[' || pg_catalog.string_agg(dicom.dicom_text(c.col, c.type), ', ' ORDER BY c.attnum) FILTER (
			WHERE c.attname ~ '^(patient_id|patient_name|other_patient_.*|patient_(birth|mother_birth)_name|patient_address|patient_telephone_numbers|accession_number|institution_name|responsible_person|.*physician.*|operators_name)$') || ']'
	FROM columns c
$$;
REVOKE ALL ON FUNCTION dicom.row_context(regclass) FROM PUBLIC;
COMMENT ON FUNCTION dicom.row_context(regclass) IS 'SQL for who the patient of a row is, and for the names and numbers in it that a free text may repeat';

CREATE FUNCTION dicom.rule_expression(relation regclass, mapping dicom.anonymization_mapping, type regtype, epoch integer,
	OUT expression text, OUT result regtype)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	rule CONSTANT text := coalesce(nullif(mapping.target_function, ''), 'keep');
	col CONSTANT text := pg_catalog.format('r.%I', mapping.column_name);
	plain CONSTANT text := dicom.dicom_text(col, type);
	/* Each value of an array becomes one, unless a single one is asked for: then they are one value, as DICOM writes them. */
	each_type CONSTANT regtype := CASE WHEN type::text LIKE '%[]' AND mapping.target_type <> '' AND dicom.target_type(mapping.target_type) NOT LIKE '%[]' THEN 'text'::regtype ELSE type END;
	each_column CONSTANT text := CASE WHEN each_type = type THEN col ELSE plain END;
	text_result CONSTANT regtype := CASE WHEN each_type::text LIKE '%[]' THEN 'text[]' ELSE 'text' END;
	epoch_argument CONSTANT text := CASE WHEN epoch IS NULL THEN '' ELSE pg_catalog.format(', epoch => %s', epoch) END;
	context record;
	params jsonb;
	parts text;
BEGIN
	result := text_result;
	CASE rule
		WHEN 'keep' THEN
			expression := col;
			result := type;
		WHEN 'anon_text', 'generalize_zip3' THEN
			expression := dicom.each_expression(pg_catalog.format('dicom.%I({})', rule), each_column, each_type);
		WHEN 'generalize_age' THEN
			expression := dicom.each_expression('dicom.generalize_age({})', each_column, each_type);
		WHEN 'full_hash', 'short_id' THEN
			expression := dicom.each_expression(pg_catalog.format('dicom.%I({}, %L%s)', rule, mapping.domain, epoch_argument), each_column, each_type);
			IF mapping.null_policy = 'marker' THEN
				params := dicom.rule_parameters(rule, mapping.domain, mapping.params, mapping.null_policy)
					|| CASE WHEN epoch IS NULL THEN '{}' ELSE pg_catalog.jsonb_build_object('epoch', epoch) END;
				expression := pg_catalog.format('dicom.anonymize(%s, %L, %L)', plain, rule, params);
				result := 'text';
			END IF;
		WHEN 'uid_remap' THEN
			expression := dicom.each_expression(pg_catalog.format('dicom.uid_remap({}%s)', epoch_argument), each_column, each_type);
		WHEN 'surrogate_key', 'legacy_surrogate_key' THEN
			SELECT pg_catalog.string_agg(dicom.dicom_text(pg_catalog.format('r.%I', m.column_name), a.atttypid::regtype), ', '
					ORDER BY m.key_ordinal NULLS LAST, m.column_name COLLATE "C") INTO parts
				FROM dicom.anonymization_mapping m
					JOIN pg_catalog.pg_attribute a ON a.attrelid = relation AND a.attname = m.column_name AND a.attnum > 0 AND NOT a.attisdropped
				WHERE (m.profile, m.schema_name, m.table_name, m.target_function, m.domain)
					= (mapping.profile, mapping.schema_name, mapping.table_name, mapping.target_function, mapping.domain);
			expression := CASE
				WHEN rule ^@ 'legacy' THEN pg_catalog.format('dicom.legacy_surrogate_key(%L, %s)', mapping.params ->> 'salt', parts)
				WHEN epoch IS NULL AND mapping.null_policy = 'null' THEN pg_catalog.format('dicom.surrogate_key(%L, %s)', mapping.domain, parts)
				ELSE pg_catalog.format('dicom.surrogate_key(%L, ARRAY[%s], %s, %L)', mapping.domain, parts, coalesce(epoch::text, 'NULL'), mapping.null_policy) END;
			result := 'text';
		WHEN 'legacy_full_hash' THEN
			expression := pg_catalog.format('dicom.legacy_full_hash(%s, %L)', plain, mapping.params ->> 'salt');
			result := 'text';
		WHEN 'date_shift' THEN
			SELECT * INTO context FROM dicom.row_context(relation);
			parts := pg_catalog.format('dicom.date_shift({}, %s, %s%s%s%s%s)', coalesce(context.patient_id, 'NULL'), coalesce(context.issuer, 'NULL'), epoch_argument,
				', study_instance_uid => ' || context.study_instance_uid,
				', min_days => ' || (mapping.params ->> 'min_days')::integer, ', max_days => ' || (mapping.params ->> 'max_days')::integer);
			IF type IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype) THEN
				expression := pg_catalog.replace(parts, '{}', col);
				result := type;
			ELSIF type = 'time'::regtype THEN
				expression := col;
				result := type;
			ELSE
				expression := dicom.each_expression(parts, each_column, each_type);
			END IF;
		WHEN 'date_truncate' THEN
			IF type IN ('date'::regtype, 'timestamp'::regtype) THEN
				expression := pg_catalog.format('dicom.date_truncate(%s, %L)', col, mapping.params ->> 'unit');
				result := type;
			ELSIF type = 'time'::regtype THEN
				expression := 'NULL::time';
				result := type;
			ELSE
				expression := dicom.each_expression(pg_catalog.format('dicom.date_truncate({}, %L)', mapping.params ->> 'unit'), each_column, each_type);
			END IF;
		WHEN 'generalize_number' THEN
			IF type IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'float4'::regtype, 'float8'::regtype, 'numeric'::regtype) THEN
				/* As decimals, for 1.7 is no multiple of 0.05 in binary. */
				expression := pg_catalog.format('dicom.generalize_number(%s::numeric, %s)::%s', col, (mapping.params ->> 'step')::numeric, type);
				result := type;
			ELSE
				expression := dicom.each_expression(pg_catalog.format('dicom.anonymize({}, %L, %L)', rule, mapping.params), each_column, each_type);
			END IF;
		WHEN 'clean_text' THEN
			SELECT * INTO context FROM dicom.row_context(relation);
			expression := dicom.each_expression(pg_catalog.format('dicom.clean_text({}, %s%s)',
				pg_catalog.concat_ws(' || ', coalesce(context.known, 'NULL'),
					CASE WHEN mapping.params ? 'known' THEN pg_catalog.quote_literal(ARRAY(SELECT k FROM pg_catalog.jsonb_array_elements_text(mapping.params -> 'known') k)) || '::text[]' END),
				', ' || pg_catalog.quote_literal(mapping.params ->> 'words')), each_column, each_type);
		WHEN 'dummy' THEN
			expression := pg_catalog.format('dicom.dummy(%L)', coalesce(mapping.params ->> 'vr', 'LO'));
			result := 'text';
		WHEN 'anonymize_dataset' THEN
			SELECT * INTO context FROM dicom.row_context(relation);
			expression := pg_catalog.format('dicom.anonymize_sequence(%s, %s, %s, %s, %L%s)', col, coalesce(context.patient_id, 'NULL'), coalesce(context.issuer, 'NULL'),
				coalesce(context.study_instance_uid, 'NULL'), dicom.dataset_profile(mapping.profile), epoch_argument);
			result := 'jsonb';
		ELSE
			/* remove, and whatever rule there may be that columns do not know: the column goes. */
			expression := NULL;
	END CASE;
END
$$;
REVOKE ALL ON FUNCTION dicom.rule_expression(regclass, dicom.anonymization_mapping, regtype, integer) FROM PUBLIC;
COMMENT ON FUNCTION dicom.rule_expression(regclass, dicom.anonymization_mapping, regtype, integer) IS
	'SQL that applies a rule to a column of row r, and the type it gives; NULL: the column is removed';

CREATE FUNCTION dicom.anonymized_columns(relation regclass, profile text DEFAULT NULL, epoch integer DEFAULT NULL)
RETURNS TABLE (ordinal integer, column_name name, expression text, target_type text, rule text, quasi_identifier boolean)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	chosen CONSTANT text := dicom.check_profile(profile);
	mapped record;
	source record;
	applied record;
BEGIN
	SELECT * INTO mapped FROM dicom.mapped_table(relation, chosen);
	IF mapped.table_name IS NULL THEN
		RAISE EXCEPTION 'profile "%" has no rules for table "%"', chosen, relation
			USING ERRCODE = 'undefined_object',
				HINT = 'Give it rules in dicom.anonymization_mapping, under its own schema, or under schema raw and the name of its entity.';
	END IF;
	ordinal := 0;
	FOR source IN
		SELECT a.attname, CASE WHEN y.typtype = 'd' THEN y.typbasetype ELSE a.atttypid END::regtype AS type, m AS mapping
		FROM pg_catalog.pg_attribute a
			JOIN pg_catalog.pg_type y ON y.oid = a.atttypid
			JOIN dicom.anonymization_mapping m
				ON (m.profile, m.schema_name, m.table_name, m.column_name) = (chosen, mapped.schema_name, mapped.table_name, a.attname)
		WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
		ORDER BY a.attnum
	LOOP
		SELECT * INTO applied FROM dicom.rule_expression(relation, source.mapping, source.type, epoch);
		CONTINUE WHEN applied.expression IS NULL;
		ordinal := ordinal + 1;
		column_name := source.attname;
		rule := coalesce(nullif((source.mapping).target_function, ''), 'keep');
		target_type := CASE WHEN (source.mapping).target_type = '' THEN applied.result::text ELSE dicom.target_type((source.mapping).target_type) END;
		IF dicom.rule_width(rule) > pg_catalog.substring(target_type, '^character.*\(([0-9]+)\)$')::integer THEN
			target_type := pg_catalog.format('character varying(%s)', dicom.rule_width(rule));
		END IF;
		expression := dicom.cast_expression(applied.expression, applied.result, target_type);
		quasi_identifier := (source.mapping).quasi_identifier;
		RETURN NEXT;
	END LOOP;
END
$$;
REVOKE ALL ON FUNCTION dicom.anonymized_columns(regclass, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION dicom.anonymized_columns(regclass, text, integer) IS
	'columns of a raw table that survive a profile (research by default): the expression of each, over a row called r, under the epoch given or the active one';

CREATE FUNCTION dicom.anonymized_query(relation regclass, profile text DEFAULT NULL, epoch integer DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	columns text;
BEGIN
	SELECT pg_catalog.string_agg(pg_catalog.format(E'\t%s AS %I', c.expression, c.column_name), E',\n' ORDER BY c.ordinal) INTO columns
		FROM dicom.anonymized_columns(relation, profile, epoch) c;
	IF columns IS NULL THEN
		RAISE EXCEPTION 'no column of table "%" survives profile "%"', relation, dicom.check_profile(profile)
			USING ERRCODE = 'undefined_column', HINT = 'A column without a rule is removed: see dicom.validate_mapping().';
	END IF;
	RETURN pg_catalog.format(E'SELECT\n%s\nFROM %s AS r', columns,
		(SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
			FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation));
END
$$;
REVOKE ALL ON FUNCTION dicom.anonymized_query(regclass, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION dicom.anonymized_query(regclass, text, integer) IS
	'the query that applies the rules of a profile to a raw table, for a person to read and for a pipeline to run';
