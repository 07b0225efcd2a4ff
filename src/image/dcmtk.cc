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

/* What a last row is filled with, to see whether the decoder came so far. */
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

/* A decoder that wants more bytes behind the last row only misses the end marker. */
const char *
decode(const uint8_t *bytes, size_t length, int precision, uint8_t *samples, size_t size, size_t row_bytes,
	   char *message, size_t message_size)
{
	DJCodecParameter parameter(ECC_lossyYCbCr, EDC_never, EUC_never, EPC_colorByPixel);
	std::unique_ptr<DJDecoder> decoder = make_decoder(precision, parameter);
	uint8_t *last_row = samples + size - row_bytes;
	OFCondition condition = decoder->init();

	memset(last_row, UNTOUCHED, row_bytes);
	if (condition.good())
		condition = decoder->decode(const_cast<Uint8 *>(bytes), static_cast<Uint32>(length), samples,
									static_cast<Uint32>(size), OFFalse);
	if (condition == EJ_Suspension)
		return is_untouched(last_row, row_bytes) ? "the stream ends too early" : nullptr;
	if (condition.good())
		return nullptr;
	snprintf(message, message_size, "%s", condition.text());
	return message;
}

} // namespace

extern "C" const char *
dcmtk_decode_jpeg(const uint8_t *bytes, size_t length, int precision, uint8_t *samples, size_t size,
				  size_t row_bytes, char *message, size_t message_size)
{
	if (length > UINT32_MAX || size > UINT32_MAX)
		return "the frame is too large for this decoder";
	try
	{
		silence();
		return decode(bytes, length, precision, samples, size, row_bytes, message, message_size);
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
