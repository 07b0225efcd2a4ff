
/* --- pictures: src/explode --- */

CREATE FUNCTION dicom.render
(
	file bytea,
	frame integer DEFAULT 1,
	max_size integer DEFAULT NULL,
	quality integer DEFAULT 90,
	window_level text DEFAULT 'file'
)
RETURNS bytea
AS 'MODULE_PATHNAME', 'dicom_render_file' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 100000;
COMMENT ON FUNCTION dicom.render(bytea, integer, integer, integer, text) IS
	'a frame of a DICOM file, counted from 1, as JPEG; max_size: pixels of the longer side at most; window_level: file, file:N, pixels or CENTER,WIDTH; decoded in a process of its own';

CREATE FUNCTION dicom.render
(
	server text,
	key text,
	frame integer DEFAULT 1,
	max_size integer DEFAULT NULL,
	quality integer DEFAULT 90,
	window_level text DEFAULT 'file'
)
RETURNS bytea
AS 'MODULE_PATHNAME', 'dicom_render_object' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 100000;
COMMENT ON FUNCTION dicom.render(text, text, integer, integer, integer, text) IS
	'a frame of an object of a server, as JPEG; only the bytes of the header and of that frame are read; needs USAGE on the server';

CREATE FUNCTION dicom.frames
(
	file bytea,
	max_size integer DEFAULT NULL,
	quality integer DEFAULT 90,
	window_level text DEFAULT 'file'
)
RETURNS TABLE (frame integer, width integer, height integer, jpeg bytea, error text)
AS 'MODULE_PATHNAME', 'dicom_frames_of_file' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 10;
COMMENT ON FUNCTION dicom.frames(bytea, integer, integer, text) IS
	'the frames of a DICOM file as JPEG, one row each; a frame that gives none has the reason instead';

CREATE FUNCTION dicom.frames
(
	server text,
	key text,
	max_size integer DEFAULT NULL,
	quality integer DEFAULT 90,
	window_level text DEFAULT 'file'
)
RETURNS TABLE (frame integer, width integer, height integer, jpeg bytea, error text)
AS 'MODULE_PATHNAME', 'dicom_frames_of_object' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 10;
COMMENT ON FUNCTION dicom.frames(text, text, integer, integer, text) IS
	'the frames of an object of a server as JPEG, one row each; a frame that gives none has the reason instead; needs USAGE on the server';

CREATE FUNCTION dicom.contact_sheet(server text, keys text[], columns integer DEFAULT 8, size integer DEFAULT 160, quality integer DEFAULT 85)
RETURNS bytea
AS 'MODULE_PATHNAME', 'dicom_contact_sheet' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED COST 1000000;
COMMENT ON FUNCTION dicom.contact_sheet(text, text[], integer, integer, integer) IS
	'one JPEG of the first frames of these objects, in this order, in cells of size x size pixels; a cell is black, and a WARNING counts it, where an object gives no picture; NULL without keys; needs USAGE on the server';

CREATE FUNCTION dicom.contact_sheet
(
	server text,
	prefix text,
	columns integer DEFAULT 8,
	size integer DEFAULT 160,
	series_instance_uid text DEFAULT NULL,
	quality integer DEFAULT 85,
	most integer DEFAULT 1000
)
RETURNS bytea
LANGUAGE sql VOLATILE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT dicom.contact_sheet(contact_sheet.server, pg_catalog.array_agg(i.filename ORDER BY i.place), contact_sheet.columns, contact_sheet.size, contact_sheet.quality)
	FROM (
		SELECT r.filename, pg_catalog.row_number() OVER (ORDER BY CASE WHEN contact_sheet.series_instance_uid IS NOT NULL THEN r.instance_number END, r.filename) AS place
		FROM dicom.images(contact_sheet.server, contact_sheet.prefix) r
		WHERE contact_sheet.series_instance_uid IS NULL OR r.series_instance_uid = contact_sheet.series_instance_uid
		LIMIT greatest(contact_sheet.most, 0)
	) i
$$;
COMMENT ON FUNCTION dicom.contact_sheet(text, text, integer, integer, text, integer, integer) IS
	'one JPEG of the images of a server whose keys begin so, or of one series of them by instance number, at most so many; needs USAGE on the server';
