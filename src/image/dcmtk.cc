/*
 * dcmtk.cc
 *	  The decoder classes of dcmjpeg, without data sets around them.
 */
#include <stdio.h>
#include <string.h>

#include <memory>
#include <new>

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmjpeg/djcparam.h>
#include <dcmtk/dcmjpeg/djdijg12.h>
#include <dcmtk/dcmjpeg/djdijg16.h>
#include <dcmtk/dcmjpeg/djdijg8.h>
#include <dcmtk/oflog/oflog.h>

#include "dcmtk.h"

/* What a row is filled with, to see whether the decoder came so far. */
#define UNTOUCHED 0xA5

namespace
{

/* DCMTK's log would go to standard error. */
void
silence()
{
	static const bool done = []
	{
		OFLog::configure(OFLogger::OFF_LOG_LEVEL);
		return true;
	}();

	(void) done;
}

std::unique_ptr<DJDecoder>
make_decoder(int precision, const DJCodecParameter &parameter)
{
	if (precision <= 8)
		return std::unique_ptr<DJDecoder>(new DJDecompressIJG8Bit(parameter, OFFalse));
	if (precision <= 12)
		return std::unique_ptr<DJDecoder>(new DJDecompressIJG12Bit(parameter, OFFalse));
	return std::unique_ptr<DJDecoder>(new DJDecompressIJG16Bit(parameter, OFFalse));
}

bool
is_untouched(const uint8_t *bytes, size_t length)
{
	size_t i;

	for (i = 0; i < length; i++)
		if (bytes[i] != UNTOUCHED)
			return false;
	return true;
}

/* Where the samples go. */
struct target
{
	uint8_t *samples;
	size_t rows, row_bytes;
	size_t slack; /* rows that may be missing in a stream without end marker */

	uint8_t *
	row(size_t number) const
	{
		return samples + number * row_bytes;
	}
};

/* A decoder that wants more bytes behind its last rows only misses the end marker. */
OFCondition
end_stream(DJDecoder &decoder, const target &to, Uint32 size)
{
	static Uint8 end[] = {0xFF, 0xD9};
	OFCondition condition = EJ_Suspension;

	if (to.rows <= to.slack || !is_untouched(to.row(to.rows - to.slack - 1), to.row_bytes))
		condition = decoder.decode(end, sizeof(end), to.samples, size, OFFalse);
	if (condition == EJ_Suspension && !is_untouched(to.row(to.rows - 1), to.row_bytes))
		condition = EC_Normal;
	return condition;
}

const char *
decode(const uint8_t *bytes, size_t length, int precision, const target &to, char *message,
	   size_t message_size)
{
	DJCodecParameter parameter(ECC_lossyYCbCr, EDC_never, EUC_never, EPC_colorByPixel);
	std::unique_ptr<DJDecoder> decoder = make_decoder(precision, parameter);
	Uint32 size = static_cast<Uint32>(to.rows * to.row_bytes);
	OFCondition condition = decoder->init();

	memset(to.row(to.rows - 1), UNTOUCHED, to.row_bytes);
	if (to.rows > to.slack)
		memset(to.row(to.rows - to.slack - 1), UNTOUCHED, to.row_bytes);
	if (condition.good())
		condition = decoder->decode(const_cast<Uint8 *>(bytes), static_cast<Uint32>(length), to.samples, size,
									OFFalse);
	if (condition == EJ_Suspension)
		condition = end_stream(*decoder, to, size);
	if (condition.good())
		return nullptr;
	if (condition == EJ_Suspension)
		return "the stream ends too early";
	snprintf(message, message_size, "%s", condition.text());
	return message;
}

} // namespace

extern "C" const char *
dcmtk_decode_jpeg(const uint8_t *bytes, size_t length, const struct dcmtk_jpeg *jpeg, uint8_t *samples,
				  char *message, size_t message_size)
{
	target to = {samples, jpeg->rows, jpeg->row_bytes, jpeg->is_lossless ? size_t(1) : size_t(16)};

	if (length > UINT32_MAX || to.row_bytes > UINT32_MAX / to.rows)
		return "the frame is too large for this decoder";
	try
	{
		silence();
		return decode(bytes, length, jpeg->precision, to, message, message_size);
	}
	catch (const std::bad_alloc &)
	{
		return "out of memory";
	}
	catch (...)
	{
		return "the decoder failed";
	}
}
