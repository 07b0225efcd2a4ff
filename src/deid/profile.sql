
/* --- profiles, and what a mapping makes of them --- */

CREATE FUNCTION dicom.dataset_profile(profile text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN EXISTS (SELECT FROM dicom.profile_attribute a WHERE a.profile = p.profile) THEN p.profile ELSE p.judged_by END
	FROM dicom.anonymization_profile p
	WHERE p.profile = dataset_profile.profile
$$;
REVOKE ALL ON FUNCTION dicom.dataset_profile(text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.dataset_profile(text) IS 'the profile whose attributes data sets go by: the profile itself, or the one that judges it if it has none';

/*
 * How much of a value is left: 0 all of it, 1 the distance to other dates, 2 a range or a clean part, 3 that it equals another, 4 that it
 * is there, 5 nothing.
 */
CREATE FUNCTION dicom.rule_strength(rule text)
RETURNS integer
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN rule IN ('', 'keep') THEN 0
		WHEN rule = 'date_shift' THEN 1
		WHEN rule IN ('date_truncate', 'generalize_age', 'generalize_number', 'generalize_zip3', 'clean_text', 'anonymize_dataset') THEN 2
		WHEN rule ~ '^legacy_' THEN 0
		WHEN rule IN ('full_hash', 'surrogate_key', 'short_id', 'uid_remap') THEN 3
		WHEN rule IN ('dummy', 'anon_text') THEN 4
		WHEN rule = 'remove' THEN 5 END
$$;
REVOKE ALL ON FUNCTION dicom.rule_strength(text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.rule_strength(text) IS 'how little a rule leaves of a value, from 0, all of it, to 5; a hash under a salt that is public counts as 0';

CREATE FUNCTION dicom.compare_profile(relation regclass, profile text, mapping text DEFAULT NULL)
RETURNS TABLE (column_name name, attribute text, ps3_15 text, profile_rule text, mapping_rule text, verdict text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	judge CONSTANT text := dicom.dataset_profile(dicom.check_profile(profile));
	chosen CONSTANT text := dicom.check_profile(mapping);
	mapped record;
BEGIN
	SELECT * INTO mapped FROM dicom.mapped_table(relation, chosen);
	RETURN QUERY
	SELECT
		c.attname,
		coalesce((c.entry).keyword, c.attribute),
		(c.entry).action,
		c.wanted,
		c.done,
		CASE
			WHEN c.wanted = c.done THEN 'equal'
			WHEN dicom.rule_strength(c.done) = dicom.rule_strength(c.wanted) THEN 'equal'
			/* Where PS3.15 allows a dummy, a pseudonym is one. */
			WHEN (c.entry).action ~ '[DZ]' AND dicom.rule_strength(c.done) BETWEEN 3 AND 4 THEN 'equal'
			WHEN dicom.rule_strength(c.done) > dicom.rule_strength(c.wanted) THEN 'stricter'
			ELSE 'weaker' END
	FROM (
		SELECT a.attname, a.attnum, l.attribute, e.entry,
			/* What PS3.15 does not list is kept; the name of the file is no attribute, but may identify. */
			coalesce((e.entry).rule, CASE
				WHEN l.attribute ~ '^\([0-9A-Fa-f]{3}[13579bdfBDF],' THEN 'remove'
				WHEN a.attname IN ('filename', 'key') THEN 'full_hash'
				ELSE 'keep' END) AS wanted,
			coalesce((SELECT coalesce(nullif(m.target_function, ''), 'keep')
				FROM dicom.anonymization_mapping m
				WHERE (m.profile, m.schema_name, m.table_name, m.column_name) = (chosen, mapped.schema_name, mapped.table_name, a.attname)), 'remove') AS done
		FROM pg_catalog.pg_attribute a,
			LATERAL (SELECT dicom.attribute_of_column(relation, a.attname) AS attribute OFFSET 0) l,
			LATERAL (SELECT dicom.attribute_action(judge, l.attribute) AS entry OFFSET 0) e
		WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
	) c
	ORDER BY c.attnum;
END
$$;
REVOKE ALL ON FUNCTION dicom.compare_profile(regclass, text, text) FROM PUBLIC;
COMMENT ON FUNCTION dicom.compare_profile(regclass, text, text) IS
	'what a profile says of each column of a table, what the mapping of another does (research by default), and whether that is stricter, equal or weaker';
