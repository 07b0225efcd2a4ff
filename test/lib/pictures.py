#!/usr/bin/python3
"""Compares pictures, before JPEG, with the formulae of PS3.3 written out in numpy.

usage: pictures.py TOOLS DIRECTORY [CORPUS]

TOOLS holds dicom_picture and dicom_frame. Files are written to DIRECTORY by pydicom; of real files in CORPUS the samples come from
dicom_frame, whose own test compares them with other decoders. Prints TAP. Grey may differ by 1, colour by 2.
"""
import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

warnings.simplefilter('ignore')
TOOLS, DIRECTORY = sys.argv[1:3]
CORPUS = sys.argv[3] if len(sys.argv) > 3 else ''
GREY, COLOUR = 1, 2  # how far levels may be off


# ---- the formulae

def first(value):
    """The first of several values, or the only one; None where there is none."""
    if value is None or value == '':
        return None
    if isinstance(value, (str, bytes)) or not hasattr(value, '__len__'):
        return value
    return value[0] if len(value) else None


def levels_of(data_set, frame, group):
    """Where a rule may stand: the frame's functional group, the shared one, the data set."""
    for name, number in (('PerFrameFunctionalGroupsSequence', frame), ('SharedFunctionalGroupsSequence', 0)):
        items = data_set.get(name) or []
        if number < len(items) and items[number].get(group):
            yield items[number].get(group)[0]
    yield data_set


def table_of(item, signed):
    """First value, entries, greatest entry of a LUT; None where there is no data."""
    descriptor, data = item.get('LUTDescriptor'), item.get('LUTData')
    if not descriptor or data is None or data == b'':
        return None
    count, start, bits = descriptor
    if isinstance(data, bytes):
        data = np.frombuffer(data, '<u2' if item.is_little_endian in (True, None) else '>u2')
    entries = np.asarray(data, dtype=np.int64)[:count or 65536] & 0xFFFF
    if signed and start > 32767:
        start -= 65536
    return start, entries, (1 << bits) - 1


def look_up(table, x):
    start, entries, _ = table
    return entries[np.clip(np.floor(x - start + 0.5), 0, len(entries) - 1).astype(np.int64)]


def modality(data_set, frame, x, signed):
    """C.11.1: Modality LUT, or slope and intercept."""
    for item in levels_of(data_set, frame, 'PixelValueTransformationSequence'):
        if item.get('ModalityLUTSequence'):
            table = table_of(item.ModalityLUTSequence[0], signed)
            if table:
                return look_up(table, x).astype(np.float64)
        slope, intercept = first(item.get('RescaleSlope')), first(item.get('RescaleIntercept'))
        if slope is not None or intercept is not None:
            return x * float(slope or 1) + float(intercept or 0)
    return x


def linear(x, c, w):
    """C.11.2.1.2.1"""
    y = ((x - (c - 0.5)) / (w - 1) + 0.5) * 255 if w > 1 else np.zeros_like(x)
    return np.where(x <= c - 0.5 - (w - 1) / 2, 0, np.where(x > c - 0.5 + (w - 1) / 2, 255, y))


def linear_exact(x, c, w):
    """C.11.2.1.3.2"""
    return np.where(x <= c - w / 2, 0, np.where(x > c + w / 2, 255, ((x - c) / w + 0.5) * 255))


def sigmoid(x, c, w):
    """C.11.2.1.3.1"""
    return 255 / (1 + np.exp(-4 * (x - c) / w))


def window_of(item, number):
    """Function, centre and width."""
    centers, widths = item.get('WindowCenter'), item.get('WindowWidth')
    if first(centers) is None or first(widths) is None:
        return None
    centers, widths = np.atleast_1d(np.array(centers, float)), np.atleast_1d(np.array(widths, float))
    if number > min(len(centers), len(widths)) or not widths[number - 1] > 0:
        return None
    function = {'SIGMOID': sigmoid, 'LINEAR_EXACT': linear_exact}.get(item.get('VOILUTFunction'), linear)
    if function is linear and widths[number - 1] < 1:
        function = linear_exact
    return function, centers[number - 1], widths[number - 1]


def voi(data_set, frame, x, chosen):
    """C.11.2: the window asked for, VOI LUT, the first window; None where there is neither."""
    for item in levels_of(data_set, frame, 'FrameVOILUTSequence'):
        window = window_of(item, chosen) if chosen else None
        for lut in (item.get('VOILUTSequence') or []) if not window else []:
            table = table_of(lut, x.min() < 0)
            if table:
                return look_up(table, x) * 255.0 / table[2]
        window = window or window_of(item, 1)
        if window:
            function, center, width = window
            return function(x, center, width)
    return None


def padding(data_set, stored, kind):
    """C.7.5.1.1.2: which pixels are padding."""
    names = {'int': 'PixelPaddingValue PixelPaddingRangeLimit', 'float': 'FloatPixelPaddingValue FloatPixelPaddingRangeLimit',
             'double': 'DoubleFloatPixelPaddingValue DoubleFloatPixelPaddingRangeLimit'}[kind].split()
    value, limit = (first(data_set.get(name)) for name in names)
    if value is None:
        return np.zeros(stored.shape, bool)
    values = [value, value if limit is None else limit]
    if kind == 'int' and data_set.PixelRepresentation == 1:
        values = [one - 65536 if one > 32767 else one for one in values]
    if kind == 'int' and data_set.PixelRepresentation == 0:
        values = [one + 65536 if one < 0 else one for one in values]
    return (stored >= min(values)) & (stored <= max(values))


def pixel_range(data_set, frame, stored, x, kind, bits, window):
    """Neither LUT nor window: all that up to 8 bits can say, else the range of the pixels."""
    if kind == 'int' and bits <= 8 and window != 'pixels':
        signed = data_set.PixelRepresentation == 1
        every = np.arange(-(1 << bits >> 1) if signed else 0, (1 << bits >> 1) if signed else 1 << bits, dtype=float)
        used = modality(data_set, frame, every, signed)
    else:
        counts = np.isfinite(x) & ~padding(data_set, stored, kind)
        used = x[counts] if counts.any() else x[np.isfinite(x)]
    if not used.size or used.max() == used.min():
        return np.zeros(x.shape)
    return np.clip((x - used.min()) / (used.max() - used.min()), 0, 1) * 255


def is_inverted(data_set):
    shape = data_set.get('PresentationLUTShape')
    return shape == 'INVERSE' if shape in ('IDENTITY', 'INVERSE') else data_set.get('PhotometricInterpretation') == 'MONOCHROME1'


def grey(data_set, frame, stored, kind, bits, window):
    """All of it, in real numbers."""
    x = modality(data_set, frame, stored.astype(np.float64), data_set.get('PixelRepresentation') == 1)
    y = None
    if isinstance(window, tuple):
        y = linear(x, *window)
    elif window != 'pixels':
        y = voi(data_set, frame, x, window or 0)
    if y is None:
        y = pixel_range(data_set, frame, stored, x, kind, bits, window)
    y = 255 - y if is_inverted(data_set) else y
    return np.where(np.isnan(x), 0, y)


def palette(data_set, stored):
    """C.7.6.3.1.5: upper 8 bits of deeper entries."""
    channels = []
    for colour in ('Red', 'Green', 'Blue'):
        count, start, bits = data_set[colour + 'PaletteColorLookupTableDescriptor'].value
        data = data_set.get(colour + 'PaletteColorLookupTableData')
        if data is None:
            data = segments(np.frombuffer(data_set['Segmented' + colour + 'PaletteColorLookupTableData'].value, '<u2'))
        else:
            data = np.frombuffer(data, '<u2' if len(data) >= 2 * (count or 65536) else 'u1')
            bits = 8 * data.itemsize if bits > 8 else bits
        channels.append((start, data[:count or 65536].astype(np.int64), bits))
    narrow = all(data.max() < 256 for _, data, _ in channels)
    return np.stack([data[np.clip(stored - start, 0, len(data) - 1)] >> (0 if narrow else bits - 8)
                     for start, data, bits in channels], -1).astype(float)


def segments(words):
    """C.7.9.2, without indirect segments."""
    out, i = [], 0
    while i < len(words):
        kind, count = int(words[i]), int(words[i + 1])
        if kind == 0:
            out += [int(word) for word in words[i + 2:i + 2 + count]]
            i += 2 + count
        else:
            out += list(np.around(np.linspace(out[-1], int(words[i + 2]), count + 1))[1:].astype(int))
            i += 3
    return np.array(out)


def colour(photometric, samples, bits):
    """C.7.6.3.1.2"""
    a, b, c = (samples[..., i] * 255.0 / ((1 << bits) - 1) for i in range(3))
    if photometric in ('YBR_FULL', 'YBR_FULL_422', 'YBR_ICT'):
        b, c = b - 128, c - 128
        a, b, c = a + 1.402 * c, a - 0.344136 * b - 0.714136 * c, a + 1.772 * b
    elif photometric in ('YBR_PARTIAL_422', 'YBR_PARTIAL_420'):
        matrix = np.linalg.inv([[.2568, .5041, .0979], [-.1482, -.2910, .4392], [.4392, -.3678, -.0714]])
        a, b, c = np.moveaxis(np.stack([a - 16, b - 128, c - 128], -1) @ matrix.T, -1, 0)
    elif photometric == 'YBR_RCT':
        green = a - np.floor((b + c - 256) / 4)
        a, b, c = c - 128 + green, green, b - 128 + green
    return np.clip(np.stack([a, b, c], -1), 0, 255)


# ---- the program

def run(*arguments):
    return subprocess.run([os.path.join(TOOLS, arguments[0]), *map(str, arguments[1:])], capture_output=True, check=False)


def picture(path, frame=0, window=None, size=0):
    """The picture as an array, or the message of the error."""
    options = ['-n', frame + 1, '-s', size]
    if window is not None:
        options += ['-w', '%r,%r' % window if isinstance(window, tuple) else window]
    result = run('dicom_picture', *options, path)
    if result.returncode != 0:
        return result.stderr.decode().strip() or 'ended with %d' % result.returncode
    kind, size, _, pixels = result.stdout.split(b'\n', 3)
    columns, rows = map(int, size.split())
    shape = (rows, columns, 3) if kind == b'P6' else (rows, columns)
    return np.frombuffer(pixels, 'u1').reshape(shape).astype(float)


def difference(got, want, most):
    """Why two pictures are not the same; None where they are."""
    if isinstance(got, str):
        return got
    if got.shape != want.shape:
        return 'size %s instead of %s' % (got.shape, want.shape)
    worst = np.abs(got - want).max()
    if worst <= most + 1e-6:
        return None
    place = np.unravel_index(np.abs(got - want).argmax(), got.shape)
    return 'off by %.2f at %s: got %d, want %.2f' % (worst, place, got[place], want[place])


# ---- TAP

done, failed = 0, 0


def report(name, fault):
    global done, failed
    done += 1
    failed += fault is not None
    print('%sok %d - %s' % ('' if fault is None else 'not ', done, name))
    if fault is not None:
        print('# ' + fault)
    sys.stdout.flush()


# ---- files with known samples

random = np.random.default_rng(3)


def write(name, samples, syntax=ExplicitVRLittleEndian, stored=None, **attributes):
    """A file of one or several frames: samples as (rows, columns) or (frames, rows, columns), with a third axis of 3 for colour."""
    data_set = FileDataset(name, {}, file_meta=FileMetaDataset(), preamble=bytes(128))
    data_set.file_meta.TransferSyntaxUID = syntax
    data_set.is_little_endian = syntax != ExplicitVRBigEndian
    data_set.is_implicit_VR = syntax == ImplicitVRLittleEndian
    data_set.SOPClassUID, data_set.SOPInstanceUID = '1.2.840.10008.5.1.4.1.1.7', '1.2.3.4'
    is_colour = attributes.get('SamplesPerPixel') == 3
    shape = samples.shape[:-1] if is_colour else samples.shape
    data_set.SamplesPerPixel = 1
    data_set.PhotometricInterpretation = 'MONOCHROME2'
    data_set.Rows, data_set.Columns = shape[-2:]
    if len(shape) == 3:
        data_set.NumberOfFrames = shape[0]
    if samples.dtype.kind == 'f':
        data_set.BitsAllocated = 8 * samples.itemsize
        element = ('FloatPixelData', 'OF') if samples.itemsize == 4 else ('DoubleFloatPixelData', 'OD')
    else:
        data_set.BitsAllocated = 8 * samples.itemsize
        data_set.BitsStored = stored or data_set.BitsAllocated
        data_set.HighBit = data_set.BitsStored - 1
        data_set.PixelRepresentation = int(samples.dtype.kind == 'i')
        if is_colour:
            data_set.PlanarConfiguration = 0
        element = ('PixelData', 'OW')
    for keyword, value in attributes.items():
        setattr(data_set, keyword, value)
    order = '<' if data_set.is_little_endian else '>'
    data = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    if order == '>' and samples.itemsize == 1:
        data = np.frombuffer(data + bytes(len(data) % 2), '<u2').astype('>u2').tobytes()
    setattr(data_set, element[0], data)
    data_set[element[0]].VR = element[1]
    path = os.path.join(DIRECTORY, name.replace(' ', '_').replace('/', '-') + '.dcm')
    data_set.save_as(path, write_like_original=False)
    return path, pydicom.dcmread(path)


def lut(descriptor, data, vr='OW', order='<', descriptor_vr='US'):
    item = Dataset()
    item.add_new(0x00283002, descriptor_vr, descriptor)
    if isinstance(data, bytes) or vr == 'US':
        item.add_new(0x00283006, vr, data)
    else:
        item.add_new(0x00283006, vr, np.asarray(data, order + 'u2').tobytes())
    return Sequence([item])


def check(name, samples, window=None, frame=0, **attributes):
    """One grey picture of known samples."""
    path, data_set = write(name, samples, **attributes)
    kind = {'f4': 'float', 'f8': 'double'}.get(samples.dtype.str[1:], 'int')
    stored = samples[frame] if samples.ndim == 3 else samples
    want = grey(data_set, frame, stored, kind, attributes.get('stored') or 8 * samples.itemsize, window)
    report(name, difference(picture(path, frame, window), want, GREY))


def noise(dtype, low, high, shape=(61, 67)):
    return random.integers(low, high, shape, dtype=dtype, endpoint=True)


def check_windows():
    ct = noise('i2', -1100, 3000)
    us = noise('u2', 0, 65535)
    ct_rescale = dict(RescaleSlope='1', RescaleIntercept='-1024')
    check('linear window', ct, WindowCenter='40', WindowWidth='400')
    check('linear window, rescaled', noise('u2', 0, 4095), stored=12, WindowCenter='40', WindowWidth='80', **ct_rescale)
    check('narrow linear windows', noise('u2', 0, 200), WindowCenter='100', WindowWidth='2')
    check('linear window of width 1', noise('u2', 0, 200), WindowCenter='100.5', WindowWidth='1')
    check('window under 1', noise('u2', 0, 200), WindowCenter='100', WindowWidth='0.4')
    check('window far beyond', us, WindowCenter='1e9', WindowWidth='2.5e9')
    check('wide window', us, WindowCenter='32768', WindowWidth='65536')
    check('exact window', us, WindowCenter='30000', WindowWidth='20000', VOILUTFunction='LINEAR_EXACT')
    check('exact window of fractions', noise('u1', 0, 255), WindowCenter='2.25', WindowWidth='3.5', VOILUTFunction='LINEAR_EXACT',
          RescaleSlope='0.02', RescaleIntercept='0')
    check('sigmoid', ct, WindowCenter='300', WindowWidth='1500', VOILUTFunction='SIGMOID')
    check('sigmoid of 16 bits', us, WindowCenter='30000', WindowWidth='9000', VOILUTFunction='SIGMOID')
    two = dict(WindowCenter=['40', '-600'], WindowWidth=['400', '1500'])
    for chosen in (None, 1, 2, 3, 'pixels', (100.0, 900.0)):
        check('windows, chosen %s' % (chosen,), ct, chosen, **two)
    check('falling rescale', us, RescaleSlope='-0.37', RescaleIntercept='11', WindowCenter='-9000', WindowWidth='8000')
    check('tiny rescale', us, RescaleSlope='1e-7', RescaleIntercept='0')
    check('window of 0', ct, WindowCenter='40', WindowWidth='0')


def check_samples():
    for bits in (8, 9, 10, 12, 14, 15, 16):
        check('unsigned %d bits' % bits, noise('u2', 0, (1 << bits) - 1), stored=bits)
        check('signed %d bits' % bits, noise('i2', -(1 << bits >> 1), (1 << bits >> 1) - 1), stored=bits)
    check('some of 9 bits', noise('u2', 100, 300), stored=9)
    check('8 bits', noise('u1', 10, 240))
    check('8 bits signed', noise('i1', -100, 100))
    check('8 bits, range of the pixels', noise('u1', 10, 240), 'pixels')
    check('6 of 8 bits', noise('u1', 0, 63), stored=6)
    check('8 bits rescaled', noise('u1', 10, 240), RescaleSlope='-2', RescaleIntercept='7')
    check('32 bits', noise('u4', 5, 4000000000))
    check('32 bits signed, window', noise('i4', -2000000, 2000000), WindowCenter='1000', WindowWidth='100000')
    check('20 of 32 bits', noise('u4', 0, (1 << 20) - 1), stored=20)
    check('float', random.normal(5, 3, (61, 67)).astype('f4'))
    check('float, window', random.normal(5, 3, (61, 67)).astype('f4'), WindowCenter='5', WindowWidth='4')
    check('double, sigmoid', random.normal(5, 3, (61, 67)), WindowCenter='5', WindowWidth='4', VOILUTFunction='SIGMOID')
    holes = random.normal(5, 3, (61, 67)).astype('f4')
    holes[3, :40], holes[4, 5], holes[5, 6], holes[6, :50] = np.nan, np.inf, -np.inf, -7e7
    check('float, holes', holes, FloatPixelPaddingValue=-7e7)
    check('constant', np.full((9, 9), 77, 'u2'))
    check('constant, inverted', np.full((9, 9), 77, 'u2'), PhotometricInterpretation='MONOCHROME1')
    for syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian):
        check('12 bits in %s' % syntax.name, noise('u2', 0, 4095), stored=12, syntax=syntax)
        check('8 bits in %s' % syntax.name, noise('u1', 0, 255), syntax=syntax)


def check_polarity():
    for photometric in ('MONOCHROME1', 'MONOCHROME2'):
        for shape in ({}, {'PresentationLUTShape': 'IDENTITY'}, {'PresentationLUTShape': 'INVERSE'}):
            for name, samples in (('8', noise('u1', 0, 255)), ('16', noise('i2', -3000, 3000))):
                check('%s %s of %s bits' % (photometric, ''.join(shape.values()), name), samples,
                      PhotometricInterpretation=photometric, **shape)
    check('MONOCHROME1, window', noise('u2', 0, 4095), stored=12, PhotometricInterpretation='MONOCHROME1',
          WindowCenter='2000', WindowWidth='3000')
    check('MONOCHROME1, sigmoid', noise('u2', 0, 4095), stored=12, PhotometricInterpretation='MONOCHROME1',
          WindowCenter='2000', WindowWidth='1000', VOILUTFunction='SIGMOID')


def check_padding():
    padded = noise('i2', -900, 2000)
    padded[:20], padded[20:25] = -2000, -1990
    check('padding', padded, PixelPaddingValue=-2000)
    check('range of padding', padded, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1985)
    check('range of padding, turned round', padded, PixelPaddingValue=-1985, PixelPaddingRangeLimit=-2000)
    white = noise('u2', 0, 3000)
    white[:, :9] = 4095
    check('padding of 12 bits', white, stored=12, PixelPaddingValue=4095)
    check('padding, MONOCHROME1', white, stored=12, PixelPaddingValue=4095, PhotometricInterpretation='MONOCHROME1')
    check('padding and window', white, stored=12, PixelPaddingValue=4095, WindowCenter='1000', WindowWidth='900')
    check('nothing but padding', np.full((5, 5), 9, 'u2'), PixelPaddingValue=9)
    check('padding rescaled', white, stored=12, PixelPaddingValue=4095, RescaleSlope='-1', RescaleIntercept='4000')


def check_tables():
    curve = (65535 * np.linspace(0, 1, 4096) ** 2.2).astype('u2')
    twelve = noise('u2', 0, 4095)
    check('VOI LUT', twelve, stored=12, VOILUTSequence=lut([4096, 0, 16], curve))
    check('VOI LUT and window', twelve, stored=12, VOILUTSequence=lut([4096, 0, 16], curve), WindowCenter='9', WindowWidth='9')
    check('VOI LUT, but a window', twelve, 1, stored=12, VOILUTSequence=lut([4096, 0, 16], curve), WindowCenter='900',
          WindowWidth='900')
    check('VOI LUT of 12 bits as US', twelve, stored=12, VOILUTSequence=lut([1000, 500, 12], [int(v) for v in curve[:1000] >> 4], 'US'))
    check('VOI LUT of 10 bits, signed start', noise('i2', -600, 600), VOILUTSequence=lut(
        [500, -100, 10], curve[:500] >> 6, descriptor_vr='SS'))
    check('VOI LUT behind rescale', twelve, stored=12, RescaleSlope='0.5', RescaleIntercept='-1000',
          VOILUTSequence=lut([2048, -1000, 16], curve[::2], descriptor_vr='SS'))
    check('VOI LUT, MONOCHROME1', twelve, stored=12, PhotometricInterpretation='MONOCHROME1', VOILUTSequence=lut([4096, 0, 16], curve))
    whole = (np.arange(65536) * 7 % 65536).astype('u2')
    check('VOI LUT of 65536 entries', noise('u2', 0, 65535), VOILUTSequence=lut([0, 0, 16], whole))
    check('Modality LUT', twelve, stored=12, ModalityLUTSequence=lut([4096, 0, 16], curve))
    check('Modality LUT and window', twelve, stored=12, ModalityLUTSequence=lut([4096, 0, 16], curve), WindowCenter='20000',
          WindowWidth='30000')
    check('Modality LUT and VOI LUT', twelve, stored=12, ModalityLUTSequence=lut([4096, 0, 16], curve >> 4),
          VOILUTSequence=lut([4096, 0, 16], curve))
    check('Modality LUT of 8 bits', noise('u1', 0, 255), ModalityLUTSequence=lut([256, 0, 16], curve[::16]))
    check('Modality LUT, padding', np.where(twelve > 4000, 4095, twelve).astype('u2'), stored=12, PixelPaddingValue=4095,
          ModalityLUTSequence=lut([4096, 0, 16], curve))
    check('VOI LUT of bytes', noise('u2', 0, 255), VOILUTSequence=lut([256, 0, 8], np.arange(255, -1, -1)))
    check('VOI LUT in big endian', twelve, stored=12, syntax=ExplicitVRBigEndian,
          VOILUTSequence=lut([4096, 0, 16], [int(value) for value in curve], 'US'))


def group(keyword, **attributes):
    item, outer = Dataset(), Dataset()
    for name, value in attributes.items():
        setattr(item, name, value)
    setattr(outer, keyword, Sequence([item]))
    return outer


def merge(*data_sets):
    merged = Dataset()
    for data_set in data_sets:
        merged.update(data_set)
    return merged


def check_groups():
    volume = noise('u2', 0, 4095, (4, 21, 23))
    per_frame = [merge(group('FrameVOILUTSequence', WindowCenter=str(500 * i), WindowWidth='900'),
                       group('PixelValueTransformationSequence', RescaleSlope='1.5', RescaleIntercept=str(-100 * i)))
                 for i in range(3)]
    per_frame.append(group('FrameVOILUTSequence', VOILUTSequence=lut([4096, 0, 12], np.arange(4095, -1, -1))))
    shared = [merge(group('PixelValueTransformationSequence', RescaleSlope='0.5', RescaleIntercept='3'),
                    group('FrameVOILUTSequence', WindowCenter='800', WindowWidth='700', VOILUTFunction='SIGMOID'))]
    for frame in range(4):
        check('functional groups of frame %d' % frame, volume, frame=frame, stored=12,
              PerFrameFunctionalGroupsSequence=Sequence(per_frame), SharedFunctionalGroupsSequence=Sequence(shared))
    check('shared functional groups', volume, frame=2, stored=12, SharedFunctionalGroupsSequence=Sequence(shared),
          WindowCenter='1', WindowWidth='1')


def check_colour(name, samples, photometric, most=COLOUR, **attributes):
    path, _ = write(name, samples, SamplesPerPixel=3, PhotometricInterpretation=photometric, **attributes)
    want = colour(photometric, samples, attributes.get('stored') or 8 * samples.itemsize)
    report(name, difference(picture(path), want, most))


def check_colours():
    rgb = noise('u1', 0, 255, (41, 43, 3))
    for photometric in ('RGB', 'YBR_FULL', 'YBR_ICT', 'YBR_RCT'):
        check_colour(photometric, rgb, photometric, 0 if photometric == 'RGB' else COLOUR)
    check_colour('RGB of 16 bits', noise('u2', 0, 65535, (41, 43, 3)), 'RGB')
    check_colour('RGB of 12 bits', noise('u2', 0, 4095, (41, 43, 3)), 'RGB', stored=12)
    check_colour('YBR_FULL of 16 bits', noise('u2', 0, 65535, (41, 43, 3)), 'YBR_FULL')


def palettes(bits, start, *tables):
    attributes = {}
    for name, table in zip(('Red', 'Green', 'Blue'), tables):
        attributes[name + 'PaletteColorLookupTableDescriptor'] = [len(table) % 65536, start, bits]
        attributes[name + 'PaletteColorLookupTableData'] = np.asarray(table, '<u2').tobytes()
    return attributes


def check_palette(name, samples, **attributes):
    path, data_set = write(name, samples, PhotometricInterpretation='PALETTE COLOR', **attributes)
    report(name, difference(picture(path), palette(data_set, samples.astype(np.int64)), COLOUR))


def check_palettes():
    eight = noise('u1', 0, 255)
    curves = [random.integers(0, 65536, 256) for _ in range(3)]
    check_palette('palette of 16 bits', eight, **palettes(16, 0, *curves))
    check_palette('palette of 8 bits', eight, **palettes(8, 0, *[curve >> 8 for curve in curves]))
    check_palette('palette that claims 16 bits', eight, **palettes(16, 0, *[curve >> 8 for curve in curves]))
    check_palette('short palette', eight, **palettes(16, 30, *[curve[:100] for curve in curves]))
    check_palette('palette of 65536 entries', noise('u2', 0, 65535), **palettes(16, 0, *[
        random.integers(0, 65536, 65536) for _ in range(3)]))


def check_scaling():
    """Means over whole blocks of pixels."""
    samples = noise('u1', 0, 255, (80, 120))
    path, _ = write('scaled grey', samples)
    want = samples.reshape(20, 4, 30, 4).mean((1, 3))
    report('scaled grey', difference(picture(path, size=30), want, GREY))
    samples = noise('u1', 0, 255, (80, 120, 3))
    path, _ = write('scaled colour', samples, SamplesPerPixel=3, PhotometricInterpretation='RGB')
    want = samples.reshape(16, 5, 24, 5, 3).mean((1, 3))
    report('scaled colour', difference(picture(path, size=24), want, GREY))
    path, _ = write('not scaled', samples, SamplesPerPixel=3, PhotometricInterpretation='RGB')
    report('not scaled', difference(picture(path, size=120), samples.astype(float), 0))


# ---- real files

def stored_values(facts, path, frame):
    """What dicom_frame decodes, with only the bits stored left."""
    dtype = {(0, 1): 'u1', (0, 2): 'u2', (0, 4): 'u4', (1, 4): 'f4', (2, 8): 'f8'}[facts['sample'], facts['sample_bytes']]
    shape = (facts['rows'], facts['columns']) + ((3,) if facts['samples_per_pixel'] == 3 else ())
    samples = np.frombuffer(run('dicom_frame', '-r', '-n', frame + 1, path).stdout, '<' + dtype).reshape(shape)
    if facts['sample'] != 0:
        return samples, {1: 'float', 2: 'double'}[facts['sample']]
    bits = facts['bits_stored']
    stored = (samples.astype(np.int64) >> (facts['high_bit'] + 1 - bits)) & ((1 << bits) - 1)
    if facts['signed']:
        stored -= (stored >> (bits - 1)) << bits
    return stored, 'int'


def fault_of_file(path, frame):
    """Why the picture of a real file is not right; None where it is, '' where it has none."""
    facts = json.loads(run('dicom_frame', '-n', frame + 1, path).stdout or '{"error": "?"}')
    if 'error' in facts:
        return ''
    data_set = pydicom.dcmread(path, force=True, stop_before_pixels=True)
    stored, kind = stored_values(facts, path, frame)
    if stored.ndim == 3:
        want, most = colour(facts['photometric'], stored, facts['bits_stored']), COLOUR
    elif facts['photometric'] == 'PALETTE COLOR':
        want, most = palette(data_set, stored), COLOUR
    else:
        want, most = grey(data_set, frame, stored, kind, facts['bits_stored'], None), GREY
    return difference(picture(path, frame), want, most)


# pydicom does not read these as they are: see the notes of the corpus.
UNREADABLE = {'fo-dicom__GH179A.dcm'}


def check_corpus():
    with open(os.path.join(CORPUS, 'TRUTH.jsonl'), encoding='utf-8') as truth:
        names = sorted({json.loads(line)['file'] for line in truth} - UNREADABLE)
    compared, faults = 0, []
    for name in names:
        try:
            fault = fault_of_file(os.path.join(CORPUS, name), 0)
        except Exception as error:  # the reference cannot read it
            fault = '%s: %s' % (type(error).__name__, error)
        compared += fault != ''
        if fault:
            faults.append('%s: %s' % (name, fault))
    print('# counted: %d of %d real files have pictures' % (compared, len(names)))
    report('pictures of real files', '\n# '.join(faults) if faults else None)
    report('there are such pictures', None if compared > len(names) // 2 else 'only %d' % compared)


os.makedirs(DIRECTORY, exist_ok=True)
for part in (check_windows, check_samples, check_polarity, check_padding, check_tables, check_groups, check_colours, check_palettes,
             check_scaling):
    part()
if CORPUS:
    check_corpus()
else:
    done += 1
    print('ok %d - pictures of real files # SKIP no ../shared/corpus' % done)
print('1..%d' % done)
sys.exit(failed > 0)
