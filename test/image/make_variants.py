#!/usr/bin/python3
"""Makes DICOM files in every form that pixel data can have, with real encoders, and says what their frames must decode to.

usage: make_variants.py DIRECTORY DICOM_FRAME

Writes DIRECTORY/NAME.dcm, and DIRECTORY/variants.jsonl with a line for each:

    name, file
    frames      SHA-256 of each frame's samples (little endian, interleaved), or "" where the frame must give an error
    reference   instead of it, for what is compressed with loss: files of samples to compare with (a number may differ by `most`)
    error       a part of the error's message, for frames that are ""; "frames": [] where the file as a whole gives it
    photometric of the decoded samples, where it matters

DICOM_FRAME is the program that decodes: of frames that only lack their end marker, it must make what it makes of whole ones.
"""
import functools
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib

import numpy as np

IMPLICIT, LITTLE, BIG, DEFLATED = '1.2.840.10008.1.2', '1.2.840.10008.1.2.1', '1.2.840.10008.1.2.2', '1.2.840.10008.1.2.1.99'
BASELINE, EXTENDED, LOSSLESS = '1.2.840.10008.1.2.4.50', '1.2.840.10008.1.2.4.51', '1.2.840.10008.1.2.4.70'
JPEG_LS, J2K, J2K_LOSSY, RLE = '1.2.840.10008.1.2.4.80', '1.2.840.10008.1.2.4.90', '1.2.840.10008.1.2.4.91', '1.2.840.10008.1.2.5'
JXL, ENCAPSULATED, DEFLATED_FRAMES = '1.2.840.10008.1.2.4.110', '1.2.840.10008.1.2.1.98', '1.2.840.10008.1.2.8.1'

LONG = {'OB', 'OW', 'OF', 'OD', 'OV', 'SQ', 'UN', 'UT'}
random = np.random.default_rng(4)


# ---- files

def element(tag, vr, value, syntax=LITTLE, undefined=False):
    order = '>' if syntax == BIG else '<'
    if isinstance(value, str):
        value = value.encode()
    if len(value) % 2 and not undefined:
        value += b'\0' if vr in ('UI', 'OB') else b' '
    length = 0xFFFFFFFF if undefined else len(value)
    head = struct.pack(order + 'HH', tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT:
        return head + struct.pack('<L', length) + value
    if vr in LONG:
        return head + vr.encode() + struct.pack(order + 'HL', 0, length) + value
    return head + vr.encode() + struct.pack(order + 'H', length) + value


def whole(path, syntax, body):
    meta = element(0x00020010, 'UI', syntax)
    if syntax == DEFLATED:
        compress = zlib.compressobj(9, zlib.DEFLATED, -15)
        body = compress.compress(body) + compress.flush()
    with open(path, 'wb') as file:
        file.write(b'\0' * 128 + b'DICM' + element(0x00020000, 'UL', struct.pack('<L', len(meta))) + meta + body)


def description(rows, columns, samples=1, photometric='MONOCHROME2', count=1, allocated=8, stored=None, signed=0, planar=None,
                syntax=LITTLE):
    def number(tag, value):
        return element(tag, 'US', struct.pack('>H' if syntax == BIG else '<H', value), syntax)

    stored = stored or allocated
    body = element(0x00080016, 'UI', '1.2.840.10008.5.1.4.1.1.7', syntax) + element(0x00080018, 'UI', '1.2.3.4', syntax)
    body += element(0x0020000D, 'UI', '1.2.3', syntax) + element(0x0020000E, 'UI', '1.2.3.1', syntax)
    body += number(0x00280002, samples) + element(0x00280004, 'CS', photometric, syntax)
    if samples > 1:
        body += number(0x00280006, planar or 0)
    if count is not None:
        body += element(0x00280008, 'IS', str(count), syntax)
    body += number(0x00280010, rows) + number(0x00280011, columns) + number(0x00280100, allocated)
    return body + number(0x00280101, stored) + number(0x00280102, stored - 1) + number(0x00280103, signed)


class Variants:
    def __init__(self, directory):
        self.directory = directory
        self.lines = []
        os.makedirs(directory, exist_ok=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def tell(self, name, frames, **more):
        frames = [frame if isinstance(frame, str) else sha(frame) for frame in frames]
        self.lines.append(dict(name=name, file=self.path(name + '.dcm'), frames=frames, **more))

    def native(self, name, syntax, value, frames, vr='OW', tag=0x7FE00010, more=None, **describe):
        body = description(syntax=LITTLE if syntax == DEFLATED else syntax, **describe)
        whole(self.path(name + '.dcm'), syntax, body + element(tag, vr, value, LITTLE if syntax == DEFLATED else syntax))
        self.tell(name, frames, **(more or {}))

    def encapsulated(self, name, syntax, items, frames, more=None, table=b'', before=b'', end=True, **describe):
        value = b''.join(item(one) for one in ([] if table is None else [table]) + items)
        if end:
            value += struct.pack('<HHL', 0xFFFE, 0xE0DD, 0)
        whole(self.path(name + '.dcm'), syntax, description(**describe) + before + element(0x7FE00010, 'OB', value, undefined=True))
        self.tell(name, frames, **(more or {}))

    def finish(self):
        with open(self.path('variants.jsonl'), 'w') as file:
            for line in self.lines:
                file.write(json.dumps(line) + '\n')


def item(value):
    value = value + b'\0' * (len(value) % 2)
    return struct.pack('<HHL', 0xFFFE, 0xE000, len(value)) + value


def sha(samples):
    if isinstance(samples, np.ndarray):
        samples = samples.astype(samples.dtype.newbyteorder('<')).tobytes()
    return hashlib.sha256(samples).hexdigest()


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


# ---- pixels

def smooth(rows, columns, bits, signed=False, samples=1, frame=0):
    """Waves with some noise, from one end of the range to the other."""
    y, x = np.mgrid[0:rows, 0:columns]
    planes = []
    for sample in range(samples):
        wave = np.sin(x / (7.0 + sample)) * np.cos((y + 3 * frame) / (5.0 + 2 * sample)) * 0.49 + 0.5
        value = np.clip(np.rint(wave * (2 ** bits - 1) + random.integers(-2, 3, wave.shape)), 0, 2 ** bits - 1)
        value.flat[0], value.flat[-1] = 0, 2 ** bits - 1
        planes.append(value - (2 ** (bits - 1) if signed else 0))
    kind = 'i' if signed else 'u'
    size = 1 if bits <= 8 else 2 if bits <= 16 else 4
    pixels = np.stack(planes, axis=-1) if samples > 1 else planes[0]
    return pixels.astype('%s%d' % (kind, size))


def packed(samples, bits, order='little'):
    stream = ''.join(format(int(value) & (1 << bits) - 1, '0%db' % bits)[::-1] for value in np.ravel(samples))
    stream += '0' * (-len(stream) % 8)
    return bytes(int(stream[i:i + 8][::-1], 2) for i in range(0, len(stream), 8))


def swap_words(value):
    value += b'\0' * (len(value) % 2)
    return np.frombuffer(value, '<u2').astype('>u2').tobytes()


# ---- native

def make_native(variants):
    for bits, allocated in ((8, 8), (12, 16), (16, 16), (32, 32)):
        for signed in (False, True):
            frames = [smooth(13, 17, bits, signed, frame=i) for i in range(3)]
            kind = '%s%d' % ('s' if signed else 'u', bits)
            describe = dict(rows=13, columns=17, count=3, allocated=allocated, stored=bits, signed=int(signed))
            little = b''.join(frame.tobytes() for frame in frames)
            big = b''.join(frame.astype(frame.dtype.newbyteorder('>')).tobytes() for frame in frames)
            variants.native('native_little_' + kind, LITTLE, little, frames, vr='OB' if bits == 8 else 'OW', **describe)
            variants.native('native_implicit_' + kind, IMPLICIT, little, frames, **describe)
            variants.native('native_deflated_' + kind, DEFLATED, little, frames, **describe)
            variants.native('native_big_' + kind, BIG, swap_words(big) if bits == 8 else big, frames, **describe)
    frames = [smooth(13, 17, 8, frame=i) for i in range(3)]
    variants.native('native_big_bytes', BIG, b''.join(frame.tobytes() for frame in frames), frames, vr='OB', rows=13, columns=17,
                    count=3)
    for bits in (8, 16):
        frames = [smooth(11, 14, bits, samples=3, frame=i) for i in range(2)]
        describe = dict(rows=11, columns=14, samples=3, photometric='RGB', count=2, allocated=bits)
        planes = b''.join(np.moveaxis(frame, -1, 0).tobytes() for frame in frames)
        variants.native('native_planar_%d' % bits, LITTLE, planes, frames, planar=1, **describe)
        variants.native('native_interleaved_%d' % bits, LITTLE, b''.join(frame.tobytes() for frame in frames), frames, **describe)
    make_bits(variants)
    make_real(variants)
    make_422(variants)
    make_counts(variants)


def make_bits(variants):
    """Frames that do not begin with a byte."""
    for bits in (1, 2, 4, 10, 12, 24):
        frames = [smooth(5, 7, bits, frame=i) for i in range(5)]
        value = packed(np.stack(frames), bits)
        describe = dict(rows=5, columns=7, count=5, allocated=bits)
        variants.native('bits_little_%d' % bits, LITTLE, value, frames, vr='OB', **describe)
        if bits in (1, 12):
            variants.native('bits_big_%d' % bits, BIG, swap_words(value), frames, vr='OW', **describe)
            variants.native('bits_deflated_%d' % bits, DEFLATED, value, frames, vr='OB', **describe)
    frames = [random.integers(0, 2, (33, 65)).astype('u1') for i in range(9)]
    variants.native('bits_large_1', LITTLE, packed(np.stack(frames), 1), frames, vr='OB', rows=33, columns=65, count=9, allocated=1)


def make_real(variants):
    for kind, vr, tag, bits in (('f4', 'OF', 0x7FE00008, 32), ('f8', 'OD', 0x7FE00009, 64)):
        frames = [(random.random((6, 9)) * 1000 - 500).astype('<' + kind) for i in range(2)]
        frames[0][0, 0] = np.nan
        for name, syntax, order in (('little', LITTLE, '<'), ('big', BIG, '>'), ('deflated', DEFLATED, '<')):
            value = b''.join(frame.astype(order + kind).tobytes() for frame in frames)
            variants.native('real_%s_%d' % (name, bits), syntax, value, frames, vr=vr, tag=tag, rows=6, columns=9, count=2,
                            allocated=bits)


def make_422(variants):
    """Y Y Cb Cr; and files that say so, but have all three samples of each pixel."""
    frames = []
    value = b''
    for i in range(2):
        full = smooth(6, 8, 8, samples=3, frame=i)
        full[:, 1::2, 1:] = full[:, 0::2, 1:]
        pairs = np.stack([full[:, 0::2, 0], full[:, 1::2, 0], full[:, 0::2, 1], full[:, 0::2, 2]], axis=-1)
        frames.append(full)
        value += pairs.astype('u1').tobytes()
    describe = dict(rows=6, columns=8, samples=3, photometric='YBR_FULL_422', count=2)
    variants.native('native_422', LITTLE, value, frames, vr='OB', **describe)
    variants.native('native_422_not', LITTLE, b''.join(frame.tobytes() for frame in frames), frames, vr='OB', **describe)


def make_counts(variants):
    frames = [smooth(9, 9, 16, frame=i) for i in range(4)]
    value = b''.join(frame.tobytes() for frame in frames)
    describe = dict(rows=9, columns=9, allocated=16)
    variants.native('count_padding', LITTLE, value + b'\0' * 20, frames, count=4, **describe)
    variants.native('count_absent', LITTLE, value, frames[:1], count=None, **describe)
    variants.native('count_cut', LITTLE, value[:-10], frames[:3] + [''], count=4, more=dict(error='end inside frame 4'), **describe)
    variants.native('count_huge', LITTLE, value, frames, count=2147483647, **describe)
    variants.native('count_none', LITTLE, b'', [], count=1, more=dict(error='no pixel data'), **describe)


# ---- what others compress

def transcode(variants, name, program, source, frames, *options, **more):
    run(program, *options, variants.path(source + '.dcm'), variants.path(name + '.dcm'))
    variants.tell(name, frames, **more)


def frames_of(name, variants):
    return next(line['frames'] for line in variants.lines if line['name'] == name)


def make_transcoded(variants):
    sources = []
    for bits, allocated, signed, samples in ((8, 8, 0, 1), (12, 16, 0, 1), (16, 16, 0, 1), (16, 16, 1, 1), (8, 8, 0, 3), (16, 16, 0, 3)):
        name = 'source_%s%d_%d' % ('s' if signed else 'u', bits, samples)
        frames = [smooth(48, 61, bits, bool(signed), samples, i) for i in range(3)]
        variants.native(name, LITTLE, b''.join(frame.tobytes() for frame in frames), frames, rows=48, columns=61, count=3,
                        samples=samples, photometric='RGB' if samples == 3 else 'MONOCHROME2', allocated=allocated, stored=bits,
                        signed=signed)
        sources.append((name, bits, signed, samples))
    for source, bits, signed, samples in sources:
        frames = frames_of(source, variants)
        kind = source[len('source_'):]
        transcode(variants, 'rle_' + kind, 'dcmcrle', source, frames)
        transcode(variants, 'rle_table_' + kind, 'dcmcrle', source, frames, '-ot')
        transcode(variants, 'lossless_' + kind, 'dcmcjpeg', source, frames, '+e1', '-ot')
        transcode(variants, 'lossless_fragments_' + kind, 'dcmcjpeg', source, frames, '+el', '+sv', '2', '+fs', '1', '-ot')
        transcode(variants, 'ls_' + kind, 'dcmcjpls', source, frames, '-ot')
        transcode(variants, 'ls_fragments_' + kind, 'dcmcjpls', source, frames, '+fs', '1')
        if samples == 3:
            transcode(variants, 'ls_planes_' + kind, 'dcmcjpls', source, frames, '+in')
            transcode(variants, 'ls_samples_' + kind, 'dcmcjpls', source, frames, '+is')
        make_lossy(variants, source, kind, bits, signed, samples)


def decoded(variants, name, program, *options):
    """What DCMTK makes of a file, as frames of native samples."""
    out = variants.path(name + '.native')
    run(program, *options, variants.path(name + '.dcm'), out)
    return out


def make_cut(variants):
    """Frames that lack their second half."""
    for codec, name, program, error in ((JPEG_LS, 'ls', 'dcmcjpls', 'JPEG-LS'), (LOSSLESS, 'lossless', 'dcmcjpeg', 'too early'),
                                        (BASELINE, 'baseline', 'dcmcjpeg', 'too early')):
        run(program, *(['+eb'] if name == 'baseline' else []), variants.path('source_u8_1.dcm'), variants.path('x.dcm'))
        value = read(variants.path('x.dcm'))
        begin = value.index(b'\xFF\xD8\xFF')
        length = struct.unpack('<L', value[begin - 4:begin])[0]
        variants.encapsulated(name + '_cut', codec, [value[begin:begin + length // 2]], [''], more=dict(error=error), rows=48, columns=61)
        end = value.rindex(b'\xFF\xD9', begin, begin + length)
        whole = hashlib.sha256(subprocess.run([sys.argv[2], '-r', variants.path('x.dcm')], check=True, capture_output=True).stdout)
        variants.encapsulated(name + '_endless', codec, [value[begin:end]], [whole.hexdigest()], rows=48, columns=61)


def make_lossy(variants, source, kind, bits, signed, samples):
    if not signed:
        transcode(variants, 'near_' + kind, 'dcmcjpls', source, ['', '', ''], '+en')
        line = variants.lines[-1]
        line['reference'] = decoded(variants, line['name'], 'dcmdjpls')
    if bits == 8:
        kinds = [('baseline', ['+eb']), ('progressive', ['+ep']), ('extended', ['+ee'])]
        if samples == 3:
            kinds += [('baseline_rgb', ['+eb', '+cr']), ('baseline_444', ['+eb', '+s4']), ('baseline_411', ['+eb', '+n1'])]
    elif bits == 12:
        kinds = [('extended', ['+ee', '+bt'])]
    else:
        return
    for name, options in kinds:
        transcode(variants, name + '_' + kind, 'dcmcjpeg', source, ['', '', ''], '+q', '95', *options)
        line = variants.lines[-1]
        line['reference'] = decoded(variants, line['name'], 'dcmdjpeg', '+cn')
        if samples == 3:
            line['photometric'] = 'RGB' if name == 'baseline_rgb' else 'YBR_FULL'


# ---- JPEG 2000

def opj(variants, name, frame, bits, signed, *options, suffix='j2k'):
    samples = 1 if frame.ndim == 2 else frame.shape[2]
    raw, out = variants.path(name + '.raw'), variants.path(name + '.' + suffix)
    planes = frame if samples == 1 else np.moveaxis(frame, -1, 0)
    planes.astype(planes.dtype.newbyteorder('>')).tofile(raw)
    run('opj_compress', '-i', raw, '-o', out, '-F',
        '%d,%d,%d,%d,%s' % (frame.shape[1], frame.shape[0], samples, bits, 's' if signed else 'u'), *options)
    stream = read(out)
    os.remove(raw)
    os.remove(out)
    return stream


def make_j2k(variants):
    for bits, allocated, signed, samples in ((1, 8, 0, 1), (8, 8, 0, 1), (8, 8, 1, 1), (12, 16, 0, 1), (12, 16, 1, 1), (16, 16, 0, 1),
                                             (16, 16, 1, 1), (8, 8, 0, 3), (12, 16, 0, 3)):
        frame = smooth(50, 67, bits, bool(signed), samples)
        kind = '%s%d_%d' % ('s' if signed else 'u', bits, samples)
        describe = dict(rows=50, columns=67, samples=samples, allocated=allocated, stored=bits, signed=signed)
        describe['photometric'] = 'YBR_RCT' if samples == 3 else 'MONOCHROME2'
        colour = dict(photometric='RGB') if samples == 3 else {}
        forms = [('', []), ('_tiles', ['-t', '32,32']), ('_layers', ['-r', '20,10,1', '-p', 'RPCL'])]
        for form, options in forms:
            stream = opj(variants, 'x', frame, bits, signed, '-mct', str(int(samples == 3)), *options)
            variants.encapsulated('j2k_%s%s' % (kind, form), J2K, [stream], [frame], more=colour, **describe)
        stream = opj(variants, 'x', frame, bits, signed, '-mct', str(int(samples == 3)), suffix='jp2')
        variants.encapsulated('jp2_' + kind, J2K, [stream], [frame], more=colour, **describe)
    frame = smooth(50, 67, 8, samples=3)
    describe = dict(rows=50, columns=67, samples=3)
    stream = opj(variants, 'x', frame, 8, False, '-mct', '0')
    variants.encapsulated('j2k_untransformed', J2K, [stream], [frame], more=dict(photometric='YBR_FULL'), photometric='YBR_FULL',
                          **describe)
    stream = opj(variants, 'x', frame, 8, False, '-I', '-q', '60', '-mct', '1')
    write(variants.path('x.j2k'), stream)
    run('opj_decompress', '-i', variants.path('x.j2k'), '-o', variants.path('x.ppm'))
    write(variants.path('j2k_ict.samples'), read(variants.path('x.ppm'))[-frame.size:])
    variants.encapsulated('j2k_ict', J2K_LOSSY, [stream], [''], photometric='YBR_ICT',
                          more=dict(samples=variants.path('j2k_ict.samples'), photometric='RGB'), **describe)
    make_subsampled(variants)
    stream = opj(variants, 'x', smooth(50, 67, 8), 8, False)
    variants.encapsulated('j2k_cut', J2K, [stream[:len(stream) // 2]], [''], more=dict(error='JPEG 2000'), rows=50, columns=67)
    variants.encapsulated('j2k_lies', J2K, [stream], [''], more=dict(error='67 x 50'), rows=60, columns=67)


def make_subsampled(variants):
    """Components of a quarter of the samples: each stands for four pixels."""
    y, cb, cr = smooth(50, 66, 8), smooth(25, 33, 8), smooth(25, 33, 8, frame=1)
    raw, out = variants.path('x.raw'), variants.path('x.j2k')
    write(raw, y.tobytes() + cb.tobytes() + cr.tobytes())
    run('opj_compress', '-i', raw, '-o', out, '-F', '66,50,3,8,u@1x1:2x2:2x2', '-mct', '0')
    stream = read(out)
    frame = np.stack([y] + [plane.repeat(2, axis=0).repeat(2, axis=1) for plane in (cb, cr)], axis=-1)
    variants.encapsulated('j2k_subsampled', J2K, [stream], [frame], rows=50, columns=66, samples=3, photometric='YBR_FULL')


def write(path, value):
    with open(path, 'wb') as file:
        file.write(value)


def read(path):
    with open(path, 'rb') as file:
        return file.read()


# ---- JPEG XL

@functools.lru_cache
def cjxl_is_old():
    """Before 0.8 it takes samples of 9 to 15 bits as if they spanned 16."""
    version = subprocess.run(['cjxl', '--version'], stdout=subprocess.PIPE, check=True).stdout
    return re.search(rb'v0\.[0-7]\.', version) is not None


def netpbm(path, frame, bits):
    if 8 < bits < 16 and cjxl_is_old():
        frame = np.rint(frame * (65535 / (2 ** bits - 1))).astype('u2')
    write(path, b'P%d %d %d %d\n' % (5 if frame.ndim == 2 else 6, frame.shape[1], frame.shape[0], 2 ** bits - 1)
          + frame.astype('>u%d' % frame.dtype.itemsize).tobytes())


def make_jxl(variants):
    for bits, samples in ((8, 1), (8, 3), (16, 1), (12, 1), (10, 3), (16, 3)):
        frame = smooth(40, 53, bits, samples=samples)
        pnm, out = variants.path('x.ppm' if samples == 3 else 'x.pgm'), variants.path('x.jxl')
        netpbm(pnm, frame, bits)
        for form, options in (('', []), ('_container', ['--container=1'])):
            run('cjxl', pnm, out, '-d', '0', '-e', '3', *options)
            stream = read(out)
            variants.encapsulated('jxl_u%d_%d%s' % (bits, samples, form), JXL, [stream], [frame], rows=40, columns=53, samples=samples,
                                  photometric='RGB' if samples == 3 else 'MONOCHROME2', allocated=8 if bits == 8 else 16, stored=bits)
    variants.encapsulated('jxl_cut', JXL, [stream[:len(stream) // 2]], [''], rows=40, columns=53, samples=3, photometric='RGB',
                          allocated=16, more=dict(error='JPEG XL'))
    make_recompressed(variants)


def make_recompressed(variants):
    """A JPEG in JPEG XL: what djxl makes of it."""
    run('dcmj2pnm', '+oj', '+Jq', '95', '+F', '1', variants.path('source_u8_3.dcm'), variants.path('x.jpg'))
    run('cjxl', variants.path('x.jpg'), variants.path('x.jxl'), '--lossless_jpeg=1')
    run('djxl', variants.path('x.jxl'), variants.path('x.ppm'))
    samples = read(variants.path('x.ppm'))[-48 * 61 * 3:]
    stream = read(variants.path('x.jxl'))
    write(variants.path('jxl_jpeg.samples'), samples)
    variants.encapsulated('jxl_jpeg', '1.2.840.10008.1.2.4.111', [stream], [''], rows=48, columns=61, samples=3,
                          photometric='YBR_FULL_422', more=dict(samples=variants.path('jxl_jpeg.samples'), photometric='RGB'))


# ---- fragments and tables

def split(stream, parts):
    size = max(len(stream) // parts // 2 * 2, 2)
    return [stream[i * size:(i + 1) * size if i < parts - 1 else len(stream)] for i in range(parts)]


def offsets(groups, kind):
    result, position = [], 0
    for group in groups:
        result.append(position)
        position += sum(8 + len(part) + len(part) % 2 for part in group)
    return struct.pack('<%d%s' % (len(result), kind), *result)


def make_fragments(variants):
    frames = [smooth(40, 34, 8, frame=i) for i in range(4)]
    streams = [opj(variants, 'x', frame, 8, False) for frame in frames]
    singles = [[stream] for stream in streams]
    groups = [split(stream, 1 + i) for i, stream in enumerate(streams)]
    describe = dict(rows=40, columns=34, count=4)

    def flat(parts):
        return [part for group in parts for part in group]

    def put(name, parts, expected=frames, **more):
        variants.encapsulated('fragments_' + name, J2K, flat(parts), expected, **{**describe, **more})

    put('no_table', singles)
    put('table', singles, table=offsets(singles, 'L'))
    put('split', groups)
    put('split_table', groups, table=offsets(groups, 'L'))
    put('left_out_table', singles, table=None)
    put('no_end', singles, end=False)
    put('table_of_zeros', groups, table=b'\0' * 16)
    put('table_off_by_two', groups, table=struct.pack('<4L', *(x + 2 * (i > 0) for i, x in
                                                              enumerate(struct.unpack('<4L', offsets(groups, 'L'))))))
    put('table_of_others', groups, table=offsets([[part] for part in flat(groups)][:4], 'L'))
    put('table_descending', groups, table=offsets(groups, 'L')[::-1])
    put('table_far', groups, table=struct.pack('<4L', 0, 100, 0xFFFFFF00, 0xFFFFFFF0))
    put('table_too_short', groups, table=offsets(groups, 'L')[:4])
    put('empty_behind', [group + [b''] for group in singles])
    put('count_too_low', groups, count=1)
    put('count_too_high', singles, count=9)
    put('count_absent', groups, count=None)

    def extended(parts, skew=0):
        lengths = [sum(len(part) + len(part) % 2 for part in group) for group in parts]
        return (element(0x7FE00001, 'OV', struct.pack('<4Q', *(x + skew * (i > 1) for i, x in
                                                              enumerate(struct.unpack('<4Q', offsets(parts, 'Q'))))))
                + element(0x7FE00002, 'OV', struct.pack('<4Q', *lengths)))

    put('extended_table', singles, before=extended(singles))
    put('extended_table_wrong', singles, before=extended(singles, 6))
    put('extended_table_far', singles, before=extended(singles, 2 ** 63))
    variants.encapsulated('fragments_cut', J2K, flat(singles), frames[:3] + [''], more=dict(error='end inside frame 4'), **describe)
    with open(variants.path('fragments_cut.dcm'), 'r+b') as file:
        file.truncate(os.path.getsize(file.name) - 50)
    variants.encapsulated('fragments_none', J2K, [], [], more=dict(error='no fragment'), **describe)
    rle = [smooth(3, 5, 8) for i in range(2)]
    variants.encapsulated('fragments_untold', DEFLATED_FRAMES, [b'1234', b'5678', b'9012'], [], rows=3, columns=5, count=2,
                          more=dict(error='nothing tells'))
    del rle
    make_uncompressed_frames(variants, frames, describe)


def make_uncompressed_frames(variants, frames, describe):
    values = [frame.tobytes() for frame in frames]
    variants.encapsulated('encapsulated_native', ENCAPSULATED, values, frames, **describe)
    variants.encapsulated('encapsulated_by_mistake', BASELINE, values, frames, **describe)

    def deflated(value):
        compress = zlib.compressobj(9, zlib.DEFLATED, -15)
        return compress.compress(value) + compress.flush()

    variants.encapsulated('deflated_frames', DEFLATED_FRAMES, [deflated(value) for value in values], frames, **describe)
    bits = [random.integers(0, 2, (5, 7)).astype('u1') for i in range(3)]
    variants.encapsulated('deflated_frames_1', DEFLATED_FRAMES, [deflated(packed(frame, 1)) for frame in bits], bits, rows=5, columns=7,
                          count=3, allocated=1)
    variants.encapsulated('deflated_frames_cut', DEFLATED_FRAMES, [deflated(values[0])[:-20]], [''], rows=40, columns=34,
                          more=dict(error='deflated frame'))


# ---- files that lie

def make_lies(variants):
    def jpeg(rows, columns, components=1, precision=8, process=0xC0):
        head = struct.pack('>BHHB', precision, rows, columns, components)
        head += b''.join(bytes((i + 1, 0x11, 0)) for i in range(components))
        return (b'\xFF\xD8' + b'\xFF' + bytes([process]) + struct.pack('>H', 2 + len(head)) + head
                + b'\xFF\xDA' + struct.pack('>HB', 6 + 2 * components, components)
                + b''.join(bytes((i + 1, 0)) for i in range(components)) + b'\0\x3F\0' + b'\0' * 20)

    def siz(rows, columns, tile=None):
        body = struct.pack('>HLLLLLLLLH', 0, columns, rows, 0, 0, tile or columns, tile or rows, 0, 0, 1) + bytes((7, 1, 1))
        return (b'\xFF\x4F\xFF\x51' + struct.pack('>H', len(body) + 2) + body
                + b'\xFF\x52\0\x0C\0\0\0\x01\0\x05\x04\x04\0\0\xFF\x5C\0\x13\x40' + b'\x40' * 16
                + b'\xFF\x90\0\x0A\0\0\0\0\0\0\0\x01\xFF\x93' + b'\0' * 30 + b'\xFF\xD9')

    def lie(name, syntax, stream, error, rows=65535, columns=65535, **describe):
        variants.encapsulated('lie_' + name, syntax, [stream], [''], more=dict(error=error), rows=rows, columns=columns, **describe)

    lie('bomb_baseline', BASELINE, jpeg(65535, 65535), 'cannot be a frame')
    lie('bomb_colour', BASELINE, jpeg(65535, 65535, 3), 'cannot be a frame', samples=3, photometric='YBR_FULL')
    lie('bomb_lossless', LOSSLESS, jpeg(65535, 65535, precision=16, process=0xC3), 'cannot be a frame', allocated=16)
    lie('bomb_j2k', J2K, siz(65535, 65535), 'cannot be a frame')
    lie('bomb_tiles', J2K, siz(65535, 65535, 1), 'tiles')
    lie('bomb_rle', RLE, struct.pack('<16L', 1, 64, *[0] * 14) + b'\x81\0' * 20, 'cannot be a frame')
    lie('bomb_deflate', DEFLATED_FRAMES, b'\x4b\x04\0', 'cannot be a frame')
    lie('zero_rows', BASELINE, jpeg(0, 10), 'pixels', rows=10, columns=10)
    lie('zero_columns', BASELINE, jpeg(10, 0), 'pixels', rows=10, columns=10)
    lie('other_size', BASELINE, jpeg(11, 10), '10 x 11', rows=10, columns=10)
    lie('empty_jpeg', BASELINE, jpeg(10, 10), 'JPEG', rows=10, columns=10)
    lie('no_jpeg', BASELINE, b'what is this' * 9, 'no JPEG header', rows=10, columns=10)
    lie('hierarchical', BASELINE, jpeg(10, 10, process=0xC5), 'not supported', rows=10, columns=10)
    lie('video', '1.2.840.10008.1.2.4.102', b'\0\0\x01\xb3' + b'\0' * 40, 'not supported', rows=10, columns=10)
    lie('segments', RLE, struct.pack('<16L', 9, 64, *[0] * 14) + b'\0' * 20, 'segments', rows=10, columns=10)
    lie('segment_cut', RLE, struct.pack('<16L', 1, 64, *[0] * 14) + b'\x81\0' * 2, 'ends too early', rows=100, columns=100)
    lie('segment_outside', RLE, struct.pack('<16L', 1, 4000000000, *[0] * 14) + b'\x81\0' * 20, 'outside', rows=10, columns=10)
    for name, describe, error in (('no_rows', dict(rows=0, columns=5), 'Rows'), ('no_columns', dict(rows=5, columns=0), 'Columns'),
                                  ('five_samples', dict(rows=5, columns=5, samples=5, photometric='RGB'), 'SamplesPerPixel'),
                                  ('no_bits', dict(rows=5, columns=5, allocated=0, stored=1), 'BitsAllocated'),
                                  ('many_bits', dict(rows=5, columns=5, allocated=64), 'BitsAllocated'),
                                  ('cmyk', dict(rows=5, columns=5, samples=4, photometric='CMYK'), 'PhotometricInterpretation')):
        variants.native('lie_' + name, LITTLE, b'\0' * 1000, [], more=dict(error=error), **describe)


def main():
    variants = Variants(sys.argv[1])
    make_native(variants)
    make_transcoded(variants)
    make_cut(variants)
    make_j2k(variants)
    if shutil.which('cjxl'):
        make_jxl(variants)
    make_fragments(variants)
    make_lies(variants)
    variants.finish()


main()
