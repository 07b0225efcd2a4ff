
/* --- which rule is for which column: src/deid --- */

CREATE TABLE dicom.anonymization_profile
(
	profile text PRIMARY KEY CHECK (profile ~ '^[a-z][a-z0-9_]{0,62}$'),
	description text,
	params jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(params) = 'object'),
	origin text NOT NULL DEFAULT 'user' CHECK (origin IN ('shipped', 'user'))
);
REVOKE ALL ON dicom.anonymization_profile FROM PUBLIC;
COMMENT ON TABLE dicom.anonymization_profile IS 'named sets of rules: for columns in dicom.anonymization_mapping, for DICOM data sets in dicom.profile_attribute';
COMMENT ON COLUMN dicom.anonymization_profile.profile IS 'name, as functions and pipelines take it';
COMMENT ON COLUMN dicom.anonymization_profile.description IS 'what it is for';
COMMENT ON COLUMN dicom.anonymization_profile.params IS 'parameters of rules that every column of the profile has, where its own do not say otherwise';
COMMENT ON COLUMN dicom.anonymization_profile.origin IS 'shipped: as the extension brought it; user: rules were changed, so that pg_dump keeps all of them';

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
COMMENT ON COLUMN dicom.anonymization_mapping.target_function IS 'rule, one of dicom.anonymization_rules(); empty: the value is kept';
COMMENT ON COLUMN dicom.anonymization_mapping.target_type IS 'type of the result, in PostgreSQL''s or a neighbouring system''s words; empty: as the rule gives it';
COMMENT ON COLUMN dicom.anonymization_mapping.domain IS 'kind of identifier: equal values of one domain have equal pseudonyms, wherever they stand; NULL: the column''s name';
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
