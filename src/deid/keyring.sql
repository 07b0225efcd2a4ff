
/* --- keys: src/deid --- */

CREATE TABLE dicom.epoch
(
	epoch integer PRIMARY KEY CHECK (epoch >= 0),
	key_id text NOT NULL CHECK (key_id ~ '^[0-9a-f]{16}$'),
	activated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	activated_by text NOT NULL DEFAULT session_user,
	retired_at timestamptz
);
CREATE UNIQUE INDEX epoch_active ON dicom.epoch ((retired_at IS NULL)) WHERE retired_at IS NULL;
REVOKE ALL ON dicom.epoch FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('dicom.epoch', '');
COMMENT ON TABLE dicom.epoch IS
	'which keys have been in use, by what they are called, and which is: the one that is not retired; while there is no row, the first of the key file';
COMMENT ON COLUMN dicom.epoch.epoch IS 'number of the key in the key file';
COMMENT ON COLUMN dicom.epoch.key_id IS 'what tells the key from others, and nothing about it: a key that has changed since is refused';
COMMENT ON COLUMN dicom.epoch.activated_at IS 'when it came into use';
COMMENT ON COLUMN dicom.epoch.activated_by IS 'who brought it into use';
COMMENT ON COLUMN dicom.epoch.retired_at IS 'when the next one took its place; NULL: the active one';
COMMENT ON INDEX dicom.epoch_active IS 'one epoch is active at most';

CREATE FUNCTION dicom.keyring(OUT epoch integer, OUT key_id text, OUT line integer)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'dicom_keyring' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10;
REVOKE ALL ON FUNCTION dicom.keyring() FROM PUBLIC;
COMMENT ON FUNCTION dicom.keyring() IS 'the epochs that the key file holds now, and what their keys are called; reads the file again';

CREATE FUNCTION dicom.active_epoch()
RETURNS integer
AS 'MODULE_PATHNAME', 'dicom_active_epoch' LANGUAGE C STABLE PARALLEL SAFE COST 10;
REVOKE ALL ON FUNCTION dicom.active_epoch() FROM PUBLIC;
COMMENT ON FUNCTION dicom.active_epoch() IS 'the epoch whose key pseudonyms are made with, where none is asked for; an error where its key is missing or has changed';

CREATE FUNCTION dicom.record_epoch()
RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	active integer := dicom.active_epoch();
BEGIN
	INSERT INTO dicom.epoch (epoch, key_id)
	SELECT k.epoch, k.key_id
	FROM dicom.keyring() k
	WHERE k.epoch = active AND NOT EXISTS (SELECT FROM dicom.epoch)
	ON CONFLICT DO NOTHING;
	RETURN dicom.active_epoch();
END
$$;
REVOKE ALL ON FUNCTION dicom.record_epoch() FROM PUBLIC;
COMMENT ON FUNCTION dicom.record_epoch() IS
	'the active epoch; if none was ever recorded, the first one is now, so that its key cannot be exchanged unnoticed: for what stores pseudonyms';

CREATE FUNCTION dicom.new_epoch()
RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	before integer;
	after integer;
	after_key_id text;
BEGIN
	LOCK TABLE dicom.epoch IN SHARE ROW EXCLUSIVE MODE;
	before := dicom.record_epoch();
	SELECT k.epoch, k.key_id INTO after, after_key_id
	FROM dicom.keyring() k
	WHERE k.epoch > before
	ORDER BY k.epoch
	LIMIT 1;
	IF after IS NULL THEN
		RAISE EXCEPTION 'there is no key of an epoch after %', before
			USING ERRCODE = 'object_not_in_prerequisite_state',
				HINT = format('Add a line to the key file: %s, a blank, and 64 hex digits of "openssl rand -hex 32".', before + 1);
	END IF;
	IF EXISTS (SELECT FROM dicom.epoch e WHERE e.key_id = after_key_id AND e.epoch <> after) THEN
		RAISE EXCEPTION 'the key of epoch % has been used before', after
			USING ERRCODE = 'object_not_in_prerequisite_state',
				HINT = 'Give each epoch a key of its own.';
	END IF;
	UPDATE dicom.epoch SET retired_at = clock_timestamp() WHERE retired_at IS NULL;
	INSERT INTO dicom.epoch AS e (epoch, key_id) VALUES (after, after_key_id)
	ON CONFLICT (epoch) DO UPDATE SET activated_at = excluded.activated_at, activated_by = excluded.activated_by, retired_at = NULL;
	RETURN dicom.active_epoch();
END
$$;
REVOKE ALL ON FUNCTION dicom.new_epoch() FROM PUBLIC;
COMMENT ON FUNCTION dicom.new_epoch() IS
	'makes the next epoch of the key file the active one, and returns its number: every pseudonym is another from then on, so what was made before must be made anew';

CREATE FUNCTION dicom.key_status
(
	OUT epoch integer,
	OUT key_id text,
	OUT active boolean,
	OUT present boolean,
	OUT unchanged boolean,
	OUT activated_at timestamptz,
	OUT retired_at timestamptz
)
RETURNS SETOF record
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	WITH file AS MATERIALIZED (SELECT * FROM dicom.keyring())
	SELECT
		coalesce(e.epoch, k.epoch),
		coalesce(e.key_id, k.key_id),
		CASE
			WHEN e.epoch IS NOT NULL THEN e.retired_at IS NULL
			ELSE k.line = (SELECT min(f.line) FROM file f) AND NOT EXISTS (SELECT FROM dicom.epoch)
		END,
		k.epoch IS NOT NULL,
		e.key_id = k.key_id,
		e.activated_at,
		e.retired_at
	FROM file k
	FULL JOIN dicom.epoch e ON e.epoch = k.epoch
	ORDER BY 1
$$;
REVOKE ALL ON FUNCTION dicom.key_status() FROM PUBLIC;
COMMENT ON FUNCTION dicom.key_status() IS
	'the epochs that are recorded or in the key file: what their keys are called, never the keys; active: in use; present: in the key file; unchanged: the key is the one that was recorded, NULL where one of the two is missing';
