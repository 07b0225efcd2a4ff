/*
 * codec.h
 *	  Compression of pages: the one place that knows zstd and snappy.
 */
#ifndef PARQUET_CODEC_H
#define PARQUET_CODEC_H

#include "parquet.h"

/* One per writer or reader, so that contexts are made once; zero-initialise, close. */
struct codec
{
	void *compressor;
	void *decompressor;
};

extern void codec_close(struct codec *codec);

/* Appends the compressed bytes. False: out of memory. */
extern bool codec_compress(struct codec *codec, enum parquet_compression compression, int level,
						   const void *bytes, size_t length, struct dicom_buffer *out);

/* Fills exactly `length` bytes. False where the bytes do not give just these. */
extern bool codec_decompress(struct codec *codec, enum parquet_compression compression, const uint8_t *bytes,
							 size_t compressed, uint8_t *out, size_t length);

#endif
