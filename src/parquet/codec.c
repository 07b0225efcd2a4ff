/*
 * codec.c
 *	  Compression of pages by libzstd and libsnappy.
 */
#include <snappy-c.h>
#include <string.h>
#include <zstd.h>

#include "codec.h"

void
codec_close(struct codec *codec)
{
	(void) ZSTD_freeCCtx(codec->compressor);
	(void) ZSTD_freeDCtx(codec->decompressor);
	memset(codec, 0, sizeof(*codec));
}

static bool
compress_zstd(struct codec *codec, int level, const void *bytes, size_t length, struct dicom_buffer *out)
{
	size_t most = ZSTD_compressBound(length);
	char *to = dicom_buffer_reserve(out, most);
	size_t written;

	if (!codec->compressor)
		codec->compressor = ZSTD_createCCtx();
	if (!to || !codec->compressor)
		return false;
	written = ZSTD_compressCCtx(codec->compressor, to, most, bytes, length, level);
	if (ZSTD_isError(written))
		return false;
	out->length += written;
	return true;
}

static bool
compress_snappy(const void *bytes, size_t length, struct dicom_buffer *out)
{
	size_t written = snappy_max_compressed_length(length);
	char *to = dicom_buffer_reserve(out, written);

	if (!to || snappy_compress(bytes, length, to, &written) != SNAPPY_OK)
		return false;
	out->length += written;
	return true;
}

bool
codec_compress(struct codec *codec, enum parquet_compression compression, int level, const void *bytes,
			   size_t length, struct dicom_buffer *out)
{
	if (compression == PARQUET_ZSTD)
		return compress_zstd(codec, level, bytes, length, out);
	if (compression == PARQUET_SNAPPY)
		return compress_snappy(bytes, length, out);
	dicom_buffer_append(out, bytes, length);
	return !out->failed;
}

static bool
decompress_snappy(const uint8_t *bytes, size_t compressed, uint8_t *out, size_t length)
{
	size_t told;

	return snappy_uncompressed_length((const char *) bytes, compressed, &told) == SNAPPY_OK &&
		   told == length &&
		   snappy_uncompress((const char *) bytes, compressed, (char *) out, &told) == SNAPPY_OK &&
		   told == length;
}

static bool
decompress_zstd(struct codec *codec, const uint8_t *bytes, size_t compressed, uint8_t *out, size_t length)
{
	if (!codec->decompressor)
		codec->decompressor = ZSTD_createDCtx();
	return codec->decompressor &&
		   ZSTD_decompressDCtx(codec->decompressor, out, length, bytes, compressed) == length;
}

bool
codec_decompress(struct codec *codec, enum parquet_compression compression, const uint8_t *bytes,
				 size_t compressed, uint8_t *out, size_t length)
{
	if (compression == PARQUET_ZSTD)
		return decompress_zstd(codec, bytes, compressed, out, length);
	if (compression == PARQUET_SNAPPY)
		return decompress_snappy(bytes, compressed, out, length);
	if (compressed != length)
		return false;
	memcpy(out, bytes, length);
	return true;
}
