
/* --- rules as functions: src/deid --- */

CREATE FUNCTION dicom.anonymize(value text, rule text, params jsonb DEFAULT '{}')
RETURNS text
AS 'MODULE_PATHNAME', 'dicom_anonymize' LANGUAGE C STABLE PARALLEL SAFE COST 50;
REVOKE ALL ON FUNCTION dicom.anonymize(text, text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dicom.anonymize(text, text, jsonb) IS
	'applies a rule of dicom.anonymization_rules() to a value; params: those of the rule, epoch, and whose value it is: patient_id, issuer, study_instance_uid';

CREATE FUNCTION dicom.anonymize(value text, schema_name text, table_name text, column_name text, profile text DEFAULT NULL, epoch integer DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 100 SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	chosen CONSTANT text := dicom.check_profile(profile);
	mapped record;
BEGIN
	SELECT m.target_function, dicom.rule_parameters(m.target_function, m.domain, m.params, m.null_policy) AS params INTO mapped
	FROM dicom.anonymization_mapping m
	WHERE (m.profile, m.table_name, m.column_name) = (chosen, anonymize.table_name, anonymize.column_name)
		AND m.schema_name = (
			SELECT o.schema_name
			FROM dicom.anonymization_mapping o
			WHERE (o.profile, o.table_name) = (chosen, anonymize.table_name) AND o.schema_name IN (anonymize.schema_name, 'raw')
			ORDER BY o.schema_name = anonymize.schema_name DESC
			LIMIT 1);
	/* A sequence is no text. */
	IF NOT FOUND OR mapped.target_function = 'anonymize_dataset' THEN
		RETURN NULL;
	END IF;
	RETURN dicom.anonymize(value, mapped.target_function,
		mapped.params || CASE WHEN epoch IS NULL THEN '{}' ELSE pg_catalog.jsonb_build_object('epoch', epoch) END);
END
$$;
REVOKE ALL ON FUNCTION dicom.anonymize(text, text, text, text, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION dicom.anonymize(text, text, text, text, text, integer) IS
	'applies the rule that dicom.anonymization_mapping has for a column to a value; NULL where it has none; a date cannot be shifted without its row: see dicom.anonymize_row()';

CREATE FUNCTION dicom.anonymize_row(relation regclass, "row" anyelement, profile text DEFAULT NULL, epoch integer DEFAULT NULL)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'dicom_anonymize_row' LANGUAGE C STABLE PARALLEL SAFE COST 1000;
REVOKE ALL ON FUNCTION dicom.anonymize_row(regclass, anyelement, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION dicom.anonymize_row(regclass, anyelement, text, integer) IS
	'a row of a raw table with the rules of dicom.anonymization_mapping applied, research being the profile by default; columns without a rule, and removed ones, are not in it';

CREATE FUNCTION dicom.full_hash(value text, domain text, epoch integer DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'dicom_full_hash' LANGUAGE C STABLE PARALLEL SAFE COST 20;
REVOKE ALL ON FUNCTION dicom.full_hash(text, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION dicom.full_hash(text, text, integer) IS
	'pseudonym of 64 hex digits: equal for equal values of a domain (the kind of identifier) under one epoch''s key, the active one by default; NULL for NULL and empty values';

CREATE FUNCTION dicom.short_id(value text, domain text, epoch integer DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'dicom_short_id' LANGUAGE C STABLE PARALLEL SAFE COST 20;
REVOKE ALL ON FUNCTION dicom.short_id(text, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION dicom.short_id(text, text, integer) IS
	'pseudonym of 21 characters, the beginning of dicom.full_hash() in other letters; NULL for NULL and empty values';

CREATE FUNCTION dicom.surrogate_key(domain text, VARIADIC parts text[])
RETURNS text
AS 'MODULE_PATHNAME', 'dicom_surrogate_key' LANGUAGE C STABLE PARALLEL SAFE COST 20;
REVOKE ALL ON FUNCTION dicom.surrogate_key(text, text[]) FROM PUBLIC;
COMMENT ON FUNCTION dicom.surrogate_key(text, text[]) IS
	'pseudonym of 64 hex digits of several values together, in their order, under the active epoch''s key; NULL where all are NULL';

CREATE FUNCTION dicom.surrogate_key(domain text, parts text[], epoch integer, null_policy text DEFAULT 'null')
RETURNS text
AS 'MODULE_PATHNAME', 'dicom_surrogate_key_of_epoch' LANGUAGE C STABLE PARALLEL SAFE COST 20;
REVOKE ALL ON FUNCTION dicom.surrogate_key(text, text[], integer, text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.surrogate_key(text, text[], integer, text) IS
	'the same under the key of an epoch (NULL: the active one); null_policy marker: a pseudonym even where all values are NULL';

CREATE FUNCTION dicom.uid_remap(uid text, epoch integer DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'dicom_uid_remap' LANGUAGE C STABLE PARALLEL SAFE COST 20;
REVOKE ALL ON FUNCTION dicom.uid_remap(text, integer) FROM PUBLIC;
COMMENT ON FUNCTION dicom.uid_remap(text, integer) IS
	'another valid UID, equal for equal ones; UIDs of DICOM itself (below 1.2.840.10008) stay; several are joined by a backslash and go one by one';

CREATE FUNCTION dicom.date_shift(value text, patient_id text, issuer text DEFAULT NULL, epoch integer DEFAULT NULL,
	study_instance_uid text DEFAULT NULL, min_days integer DEFAULT NULL, max_days integer DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'dicom_date_shift_text' LANGUAGE C STABLE PARALLEL SAFE COST 30;
REVOKE ALL ON FUNCTION dicom.date_shift(text, text, text, integer, text, integer, integer) FROM PUBLIC;
COMMENT ON FUNCTION dicom.date_shift(text, text, text, integer, text, integer, integer) IS
	'a date or date-time some whole weeks earlier, in its own form; so many for all dates of a patient, so that intervals, weekdays, times and zones stay; without a patient the study stands in, without both, and for what is no date, NULL';

CREATE FUNCTION dicom.date_shift(value date, patient_id text, issuer text DEFAULT NULL, epoch integer DEFAULT NULL,
	study_instance_uid text DEFAULT NULL, min_days integer DEFAULT NULL, max_days integer DEFAULT NULL)
RETURNS date
AS 'MODULE_PATHNAME', 'dicom_date_shift_date' LANGUAGE C STABLE PARALLEL SAFE COST 20;
REVOKE ALL ON FUNCTION dicom.date_shift(date, text, text, integer, text, integer, integer) FROM PUBLIC;
COMMENT ON FUNCTION dicom.date_shift(date, text, text, integer, text, integer, integer) IS
	'the same of a date; infinity and -infinity stay';

CREATE FUNCTION dicom.date_shift(value timestamp, patient_id text, issuer text DEFAULT NULL, epoch integer DEFAULT NULL,
	study_instance_uid text DEFAULT NULL, min_days integer DEFAULT NULL, max_days integer DEFAULT NULL)
RETURNS timestamp
AS 'MODULE_PATHNAME', 'dicom_date_shift_timestamp' LANGUAGE C STABLE PARALLEL SAFE COST 20;
REVOKE ALL ON FUNCTION dicom.date_shift(timestamp, text, text, integer, text, integer, integer) FROM PUBLIC;
COMMENT ON FUNCTION dicom.date_shift(timestamp, text, text, integer, text, integer, integer) IS
	'the same of a timestamp; infinity and -infinity stay';

CREATE FUNCTION dicom.date_shift(value timestamptz, patient_id text, issuer text DEFAULT NULL, epoch integer DEFAULT NULL,
	study_instance_uid text DEFAULT NULL, min_days integer DEFAULT NULL, max_days integer DEFAULT NULL)
RETURNS timestamptz
AS 'MODULE_PATHNAME', 'dicom_date_shift_timestamp' LANGUAGE C STABLE PARALLEL SAFE COST 20;
REVOKE ALL ON FUNCTION dicom.date_shift(timestamptz, text, text, integer, text, integer, integer) FROM PUBLIC;
COMMENT ON FUNCTION dicom.date_shift(timestamptz, text, text, integer, text, integer, integer) IS
	'the same of an instant, by days of 24 hours; infinity and -infinity stay';

CREATE FUNCTION dicom.date_truncate(value text, unit text)
RETURNS text
AS 'MODULE_PATHNAME', 'dicom_date_truncate_text' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10;
REVOKE ALL ON FUNCTION dicom.date_truncate(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.date_truncate(text, text) IS
	'the first day of the year or month of a date or date-time, without time; NULL for what is no date';

CREATE FUNCTION dicom.date_truncate(value date, unit text)
RETURNS date
AS 'MODULE_PATHNAME', 'dicom_date_truncate_date' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10;
REVOKE ALL ON FUNCTION dicom.date_truncate(date, text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.date_truncate(date, text) IS 'the first day of the year or month of a date';

CREATE FUNCTION dicom.date_truncate(value timestamp, unit text)
RETURNS timestamp
AS 'MODULE_PATHNAME', 'dicom_date_truncate_timestamp' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10;
REVOKE ALL ON FUNCTION dicom.date_truncate(timestamp, text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.date_truncate(timestamp, text) IS 'the beginning of the year or month of a timestamp';

CREATE FUNCTION dicom.generalize_age(age text)
RETURNS text
AS 'MODULE_PATHNAME', 'dicom_generalize_age' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10;
REVOKE ALL ON FUNCTION dicom.generalize_age(text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.generalize_age(text) IS 'a DICOM age (052Y, 003D), of more than 89 years 090Y; NULL for what is none';

CREATE FUNCTION dicom.generalize_number(value double precision, step double precision)
RETURNS double precision
AS 'MODULE_PATHNAME', 'dicom_generalize_double' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 5;
REVOKE ALL ON FUNCTION dicom.generalize_number(double precision, double precision) FROM PUBLIC;
COMMENT ON FUNCTION dicom.generalize_number(double precision, double precision) IS 'the largest multiple of step that is not above the value';

CREATE FUNCTION dicom.generalize_number(value numeric, step numeric)
RETURNS numeric
AS 'MODULE_PATHNAME', 'dicom_generalize_numeric' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 5;
REVOKE ALL ON FUNCTION dicom.generalize_number(numeric, numeric) FROM PUBLIC;
COMMENT ON FUNCTION dicom.generalize_number(numeric, numeric) IS 'the largest multiple of step that is not above the value';

CREATE FUNCTION dicom.generalize_zip3(zip text)
RETURNS text
AS 'MODULE_PATHNAME', 'dicom_generalize_zip3' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 5;
REVOKE ALL ON FUNCTION dicom.generalize_zip3(text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.generalize_zip3(text) IS
	'the first three digits of a ZIP code of the United States, 000 for those where at most 20,000 people live (45 CFR 164.514); NULL for what is none';

CREATE FUNCTION dicom.anon_text(value text)
RETURNS text
AS 'MODULE_PATHNAME', 'dicom_anon_text' LANGUAGE C IMMUTABLE PARALLEL SAFE;
REVOKE ALL ON FUNCTION dicom.anon_text(text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.anon_text(text) IS 'the text ANON_TEXT; NULL for NULL and empty values';

CREATE FUNCTION dicom.clean_text(value text, known text[] DEFAULT NULL, words text DEFAULT 'clinical')
RETURNS text
AS 'MODULE_PATHNAME', 'dicom_clean_text' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100;
REVOKE ALL ON FUNCTION dicom.clean_text(text, text[], text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.clean_text(text, text[], text) IS
	'free text without what may identify: the known names and ids given, dates, numbers of four digits and more, telephone numbers, addresses of mail and web, names behind titles; of other words only those of a clinical vocabulary stay, or all with words any';

CREATE FUNCTION dicom.dummy(vr text)
RETURNS text
AS 'MODULE_PATHNAME', 'dicom_dummy' LANGUAGE C IMMUTABLE PARALLEL SAFE;
REVOKE ALL ON FUNCTION dicom.dummy(text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.dummy(text) IS 'a value of a VR that says nothing: what PS3.15 calls a dummy';

CREATE FUNCTION dicom.keep(value text)
RETURNS text
AS 'MODULE_PATHNAME', 'dicom_keep' LANGUAGE C IMMUTABLE PARALLEL SAFE;
REVOKE ALL ON FUNCTION dicom.keep(text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.keep(text) IS 'the value itself';

CREATE FUNCTION dicom.remove(value text)
RETURNS text
AS 'MODULE_PATHNAME', 'dicom_remove' LANGUAGE C IMMUTABLE PARALLEL SAFE;
REVOKE ALL ON FUNCTION dicom.remove(text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.remove(text) IS 'NULL';

CREATE FUNCTION dicom.legacy_full_hash(value text, salt text)
RETURNS text
AS 'MODULE_PATHNAME', 'dicom_legacy_full_hash' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10;
REVOKE ALL ON FUNCTION dicom.legacy_full_hash(text, text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.legacy_full_hash(text, text) IS
	'for comparison only, for whoever knows the salt can compute it: SHA-256 of the value in lower case without asterisks around it, and the salt; NULL as the salt alone';

CREATE FUNCTION dicom.legacy_surrogate_key(salt text, VARIADIC parts text[])
RETURNS text
AS 'MODULE_PATHNAME', 'dicom_legacy_surrogate_key' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10;
REVOKE ALL ON FUNCTION dicom.legacy_surrogate_key(text, text[]) FROM PUBLIC;
COMMENT ON FUNCTION dicom.legacy_surrogate_key(text, text[]) IS
	'for comparison only: SHA-256 of the MD5 of the parts joined by a hyphen, and the salt; ''a-b'',''c'' and ''a'',''b-c'' are the same';

CREATE FUNCTION dicom.anonymization_rules(OUT rule text, OUT keyed boolean, OUT parameters text[], OUT description text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'dicom_anonymization_rules' LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 16;
REVOKE ALL ON FUNCTION dicom.anonymization_rules() FROM PUBLIC;
COMMENT ON FUNCTION dicom.anonymization_rules() IS 'the rules that there are, whether they need a key, and which parameters they take';

CREATE FUNCTION dicom.rule_error(rule text, params jsonb DEFAULT '{}')
RETURNS text
AS 'MODULE_PATHNAME', 'dicom_rule_error' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 50;
REVOKE ALL ON FUNCTION dicom.rule_error(text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION dicom.rule_error(text, jsonb) IS 'what is wrong with a rule or its parameters; NULL: nothing';

CREATE FUNCTION dicom.deid_counts(reset boolean DEFAULT false, OUT unreadable bigint, OUT study_shifted bigint, OUT unshifted bigint)
AS 'MODULE_PATHNAME', 'dicom_deid_counts' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION dicom.deid_counts(boolean) FROM PUBLIC;
COMMENT ON FUNCTION dicom.deid_counts(boolean) IS
	'what rules did in this session that somebody may want to know of: values that could not be read, dates shifted by their study for want of a patient id, dates with neither; parallel workers count for themselves';
