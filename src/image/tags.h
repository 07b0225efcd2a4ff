/*
 * tags.h
 *	  The attributes that describe pixels: PS3.3 C.7.6.3.
 */
#ifndef IMAGE_TAGS_H
#define IMAGE_TAGS_H

#include "../dicom/dataset.h"

#define TAG_SAMPLES_PER_PIXEL             DICOM_TAG(0x0028, 0x0002)
#define TAG_PHOTOMETRIC                   DICOM_TAG(0x0028, 0x0004)
#define TAG_PLANAR_CONFIGURATION          DICOM_TAG(0x0028, 0x0006)
#define TAG_NUMBER_OF_FRAMES              DICOM_TAG(0x0028, 0x0008)
#define TAG_ROWS                          DICOM_TAG(0x0028, 0x0010)
#define TAG_COLUMNS                       DICOM_TAG(0x0028, 0x0011)
#define TAG_BITS_ALLOCATED                DICOM_TAG(0x0028, 0x0100)
#define TAG_BITS_STORED                   DICOM_TAG(0x0028, 0x0101)
#define TAG_HIGH_BIT                      DICOM_TAG(0x0028, 0x0102)
#define TAG_PIXEL_REPRESENTATION          DICOM_TAG(0x0028, 0x0103)
#define TAG_EXTENDED_OFFSET_TABLE         DICOM_TAG(0x7FE0, 0x0001)
#define TAG_EXTENDED_OFFSET_TABLE_LENGTHS DICOM_TAG(0x7FE0, 0x0002)
#define TAG_FLOAT_PIXEL_DATA              DICOM_TAG(0x7FE0, 0x0008)
#define TAG_DOUBLE_PIXEL_DATA             DICOM_TAG(0x7FE0, 0x0009)

#endif
