/*
 * dcmtk.h
 *	  DCMTK's JPEG decoders over memory: the only door to C++. No exception leaves it.
 */
#ifndef IMAGE_DCMTK_H
#define IMAGE_DCMTK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C"
{
#endif

	/* What the frame header says. */
	struct dcmtk_jpeg
	{
		int precision;
		bool is_lossless;
		size_t rows; /* at least 1 */
		size_t row_bytes;
	};

	/*
	 * Decodes a lossless JPEG of 2 to 16 bits, or a lossy one of 12, as it is stored: samples interleaved, one byte each where
	 * precision is 8 or less, else two. `samples` has room for just rows x row_bytes. Returns NULL, or what is wrong, in
	 * `message` or a constant.
	 */
	extern const char *dcmtk_decode_jpeg(const uint8_t *bytes, size_t length, const struct dcmtk_jpeg *jpeg,
										 uint8_t *samples, char *message, size_t message_size);

#ifdef __cplusplus
}
#endif

#endif
