#!/usr/bin/env python3
"""Writes a corpus of small DICOM files, sound and broken, to begin fuzzing with.

usage: make_seeds.py directory
"""
import os
import struct
import sys
import zlib

LONG_FORM = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
UNDEFINED = 0xFFFFFFFF

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG = "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4.50"


class Encoding:
    """Turns elements into bytes in one transfer syntax."""

    def __init__(self, explicit=True, big=False):
        self.explicit, self.order = explicit, ">" if big else "<"

    def pack(self, format, *values):
        return struct.pack(self.order + format, *values)

    def header(self, tag, vr, length):
        start = self.pack("HH", tag >> 16, tag & 0xFFFF)
        if not self.explicit:
            return start + self.pack("L", length)
        if vr in LONG_FORM:
            return start + vr.encode() + self.pack("HL", 0, length)
        return start + vr.encode() + self.pack("H", length)

    def element(self, tag, vr, value):
        if isinstance(value, str):
            value = value.encode("latin-1")
            value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
        elif isinstance(value, int):
            value = self.pack({"US": "H", "SS": "h", "UL": "L"}[vr], value)
        return self.header(tag, vr, len(value)) + value

    def item(self, content, undefined=False):
        if undefined:
            return self.pack("HHL", 0xFFFE, 0xE000, UNDEFINED) + content + self.pack("HHL", 0xFFFE, 0xE00D, 0)
        return self.pack("HHL", 0xFFFE, 0xE000, len(content)) + content

    def sequence(self, tag, items, undefined=False, vr="SQ"):
        content = b"".join(items)
        if undefined:
            return self.header(tag, vr, UNDEFINED) + content + self.pack("HHL", 0xFFFE, 0xE0DD, 0)
        return self.header(tag, vr, len(content)) + content


LITTLE = Encoding()
PLAIN = Encoding(explicit=False)


def meta(syntax, preamble=True, length=True):
    body = LITTLE.element(0x00020001, "OB", b"\0\1")
    body += LITTLE.element(0x00020002, "UI", "1.2.840.10008.5.1.4.1.1.7")
    body += LITTLE.element(0x00020003, "UI", "1.2.3.4")
    if syntax:
        body += LITTLE.element(0x00020010, "UI", syntax)
    if length:
        body = LITTLE.element(0x00020000, "UL", len(body)) + body
    return (bytes(128) + b"DICM" if preamble else b"") + body


def nested(e, depth, undefined):
    inner = e.element(0x00080100, "SH", "T-%d" % depth)
    if depth:
        inner += nested(e, depth - 1, undefined)
    return e.sequence(0x0040A730, [e.item(inner, undefined)], undefined)


def data_set(e, undefined=False, pixels=None):
    """A bit of everything: texts, numbers, sequences, private blocks, pixels."""
    out = e.element(0x00080005, "CS", "ISO_IR 100")
    out += e.element(0x00080008, "CS", "ORIGINAL\\PRIMARY\\AXIAL")
    out += e.element(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.7")
    out += e.element(0x00080018, "UI", "1.2.3.4")
    out += e.element(0x00080020, "DA", "20040826")
    out += e.element(0x00080030, "TM", "185059.5")
    out += e.element(0x00080060, "CS", "OT")
    out += e.sequence(0x00081140, [e.item(e.element(0x00081155, "UI", "1.2.%d" % i), undefined) for i in range(3)],
                      undefined)
    out += e.element(0x00090010, "LO", "ACME 1.1")
    out += e.element(0x00091001, "LO" if e.explicit else "UN", "secret")
    inner = PLAIN if e.order == "<" else e
    out += e.sequence(0x00091002, [e.item(inner.element(0x00100020, "LO", "hidden"))], undefined,
                      "UN" if inner is PLAIN else "SQ")
    out += e.element(0x00100010, "PN", "M\xfcller^J\xfcrgen=A^B")
    out += e.element(0x00100020, "LO", "4711")
    out += e.element(0x00100030, "DA", "")
    out += e.element(0x00101010, "AS", "042Y")
    out += e.element(0x00180050, "DS", "1.5 ")
    out += e.element(0x0020000D, "UI", "1.2.3")
    out += e.element(0x0020000E, "UI", "1.2.3.1")
    out += e.element(0x00200013, "IS", "7")
    out += e.element(0x00200032, "DS", "-1\\0\\+1.0E2")
    out += e.element(0x00280002, "US", 1)
    out += e.element(0x00280010, "US", 2)
    out += e.element(0x00280011, "US", 2)
    out += e.element(0x00280100, "US", 16)
    out += e.element(0x00280103, "US", 1)
    out += e.element(0x00280106, "SS", -5)
    out += e.element(0x00289999, "UN", b"\1\2\3\4")
    out += nested(e, 3, undefined)
    out += e.element(0x60003000, "OW", bytes(8))
    return out + (e.element(0x7FE00010, "OW", bytes(8)) if pixels is None else pixels)


def fragments(e, *bytes_of):
    items = [e.item(b"")] + [e.item(piece) for piece in bytes_of]
    return e.sequence(0x7FE00010, items, True, "OB")


def deflate(data, bits=-15):
    engine = zlib.compressobj(9, zlib.DEFLATED, bits)
    return engine.compress(data) + engine.flush()


def sound():
    big = Encoding(big=True)
    for name, undefined in (("defined", False), ("undefined", True)):
        yield "explicit_" + name, meta(EXPLICIT) + data_set(LITTLE, undefined)
        yield "implicit_" + name, meta(IMPLICIT) + data_set(PLAIN, undefined)
        yield "big_" + name, meta(BIG) + data_set(big, undefined)
        yield "deflated_" + name, meta(DEFLATED) + deflate(data_set(LITTLE, undefined))
    jpeg = fragments(LITTLE, b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xd9")
    yield "encapsulated", meta(JPEG) + data_set(LITTLE, pixels=jpeg)
    yield "padded", meta(JPEG) + data_set(LITTLE, pixels=jpeg) + LITTLE.element(0xFFFCFFFC, "OB", bytes(6))
    yield "many_fragments", meta(JPEG) + data_set(LITTLE, pixels=fragments(LITTLE, *[b"ab"] * 100))
    yield "directory", meta(EXPLICIT) + LITTLE.element(0x00041130, "CS", "SET") + LITTLE.sequence(
        0x00041220, [LITTLE.item(LITTLE.element(0x00041400, "UL", 0), True)], True)
    yield "japanese", meta(EXPLICIT) + LITTLE.element(0x00080005, "CS", "\\ISO 2022 IR 87") + LITTLE.element(
        0x00100010, "PN", "Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B")
    yield "long_value", meta(EXPLICIT) + LITTLE.element(0x00080005, "CS", "") + LITTLE.element(
        0x00420011, "OB", bytes(70000)) + LITTLE.element(0x00420012, "LO", "application/pdf")
    yield "command_set", meta(IMPLICIT) + PLAIN.element(0, "UL", struct.pack("<L", 10)) + PLAIN.element(
        0x00000100, "US", b"\1\0") + data_set(PLAIN)


def no_meta():
    big = Encoding(big=True)
    for name, e in (("explicit", LITTLE), ("implicit", PLAIN), ("big", big)):
        yield "bare_" + name, data_set(e)
        yield "nameless_" + name, meta(None) + data_set(e)
    yield "bare_group_length", PLAIN.element(0x00080000, "UL", struct.pack("<L", 28)) + data_set(PLAIN)
    yield "bare_meta", meta(EXPLICIT, preamble=False) + data_set(LITTLE)
    yield "no_meta_length", meta(EXPLICIT, length=False) + data_set(LITTLE)
    yield "only_meta", meta(EXPLICIT)
    yield "preamble_without_prefix", bytes(128) + data_set(LITTLE)
    yield "prefix_alone", b"DICM" + meta(EXPLICIT, preamble=False) + data_set(LITTLE)


def contradicting():
    yield "named_explicit", meta(EXPLICIT) + data_set(PLAIN)
    yield "named_implicit", meta(IMPLICIT) + data_set(LITTLE)
    yield "named_big", meta(BIG) + data_set(LITTLE)
    yield "named_deflated", meta(DEFLATED) + data_set(LITTLE)
    yield "zlib_header", meta(DEFLATED) + deflate(data_set(LITTLE), 15)
    yield "gzip_header", meta(DEFLATED) + deflate(data_set(LITTLE), 31)
    yield "implicit_item", meta(EXPLICIT) + LITTLE.sequence(
        0x00081140, [LITTLE.item(PLAIN.element(0x00081155, "UI", "1.2"))]) + LITTLE.element(0x00100020, "LO", "1")
    yield "explicit_in_unknown", meta(EXPLICIT) + LITTLE.sequence(
        0x00091002, [LITTLE.item(LITTLE.element(0x00100020, "LO", "1"))], True, "UN")
    yield "blank_letters", meta(EXPLICIT) + b"\x08\0\x05\0  \2\0AB" + LITTLE.element(0x00100020, "LO", "1")
    yield "new_letters", meta(EXPLICIT) + b"\x08\0\x05\0ZZ\0\0\2\0\0\0AB" + LITTLE.element(0x00100020, "LO", "1")
    yield "short_length", meta(EXPLICIT) + b"\x08\0\x19\1UC\2\0AB" + LITTLE.element(0x00100020, "LO", "1")


def damaged():
    whole = meta(EXPLICIT) + data_set(LITTLE)
    squeezed = meta(DEFLATED) + deflate(data_set(LITTLE))
    for cut in (0, 1, 131, 132, 140, 300, 420, 500, len(whole) - 4):
        yield "cut_%d" % cut, whole[:cut]
    yield "cut_deflated", squeezed[:-20]
    yield "bomb", meta(DEFLATED) + deflate(LITTLE.element(0x00091001, "OB", bytes(1 << 20)) * 9)
    yield "odd", meta(EXPLICIT) + LITTLE.element(0x00080020, "DA", b"2004082") + LITTLE.element(0x00100020, "LO", "1")
    yield "descending", meta(EXPLICIT) + LITTLE.element(0x00100020, "LO", "1") + LITTLE.element(0x00080060, "CS", "MR")
    yield "twice", meta(EXPLICIT) + LITTLE.element(0x00100020, "LO", "1") * 2
    yield "deep", meta(EXPLICIT) + nested(LITTLE, 80, True)
    yield "not_items", meta(EXPLICIT) + LITTLE.header(0x00081140, "SQ", 10) + b"NAMED TYPE" + LITTLE.element(
        0x00100020, "LO", "1")
    item = LITTLE.item(LITTLE.element(0x00081155, "UI", "1.2"))
    yield "no_delimiter", meta(EXPLICIT) + LITTLE.header(0x00081140, "SQ", UNDEFINED) + item + LITTLE.element(
        0x00100020, "LO", "1")
    yield "stray_item", meta(EXPLICIT) + item + LITTLE.element(0x00100020, "LO", "1")
    yield "stray_delimiters", meta(EXPLICIT) + LITTLE.pack("HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0) + \
        LITTLE.element(0x00100020, "LO", "1")
    yield "item_too_long", meta(EXPLICIT) + LITTLE.header(0x00081140, "SQ", len(item)) + item[:4] + \
        LITTLE.pack("L", len(item) + 20) + item[8:] + LITTLE.element(0x00100020, "LO", "1")
    yield "item_too_short", meta(EXPLICIT) + LITTLE.header(0x00081140, "SQ", len(item)) + item[:4] + \
        LITTLE.pack("L", len(item) - 12) + item[8:] + LITTLE.element(0x00100020, "LO", "1")
    yield "zeros_behind", meta(EXPLICIT) + LITTLE.element(0x00100020, "LO", "1") + bytes(64)
    yield "huge_length", meta(IMPLICIT) + PLAIN.header(0x00100020, "LO", 0xFFFFFFFE) + b"1 "


def not_dicom():
    yield "text", b"The quick brown fox jumps over the lazy dog. " * 10
    yield "png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(200)
    yield "zip", b"PK\3\4\x14\0\0\0\x08\0" + bytes(200)
    yield "zeros", bytes(500)


def words(*numbers):
    return struct.pack("<%dH" % len(numbers), *numbers)


def lut(tag, descriptor, data):
    return LITTLE.sequence(tag, [LITTLE.item(LITTLE.element(0x00283002, "US", words(*descriptor)) +
                                             LITTLE.element(0x00283006, "OW", words(*data)))])


def palette(kind, bits, *data):
    out = b"".join(LITTLE.element(0x00281101 + i, "US", words(len(data), 0, bits)) for i in range(3))
    return out + b"".join(LITTLE.element(kind + i, "OW", words(*data)) for i in range(3))


def groups():
    def group(tag, *elements):
        return LITTLE.sequence(tag, [LITTLE.item(b"".join(LITTLE.element(*one) for one in elements))])
    rescale = group(0x00289145, (0x00281052, "DS", "-1024"), (0x00281053, "DS", "1.5"))
    windows = [LITTLE.item(group(0x00289132, (0x00281050, "DS", str(i)), (0x00281051, "DS", "9"))) for i in range(3)]
    return LITTLE.sequence(0x52009229, [LITTLE.item(rescale)]) + LITTLE.sequence(0x52009230, windows)


# The least baseline JPEG: 8 x 8 pixels of grey, each table with one code.
SMALL_JPEG = (b"\xff\xd8\xff\xdb\0\x43\0" + b"\1" * 64 + b"\xff\xc0\0\x0b\x08\0\x08\0\x08\1\1\x11\0" +
              b"\xff\xc4\0\x14\0\1" + bytes(15) + b"\0\xff\xc4\0\x14\x10\1" + bytes(15) + b"\0" +
              b"\xff\xda\0\x08\1\1\0\0\x3f\0\x3f\xff\xd9")


def pictures():
    """For fuzz_picture: what it chooses by, samples, rules."""
    def seed(form, samples, rules):
        return bytes(form) + words(len(samples)) + samples + LITTLE.element(0x00280004, "CS", "X ") + rules
    grey_16 = (12, 9, 2, 1, 11, 0, 0, 0, 0, 0, 0, 90)
    grey_8 = (7, 7, 2, 0, 7, 0x80, 0, 0, 0, 0, 0, 90)
    scaled = (30, 20, 3, 0, 7, 0, 0, 0, 0, 0, 23, 90)
    window = LITTLE.element(0x00281050, "DS", "40\\400") + LITTLE.element(0x00281051, "DS", "80\\2000")
    samples = bytes(range(240))
    yield "window", seed(grey_16, samples, window)
    yield "sigmoid", seed(grey_16, samples, window + LITTLE.element(0x00281056, "CS", "SIGMOID"))
    yield "exact", seed(grey_16, samples, window + LITTLE.element(0x00281056, "CS", "LINEAR_EXACT"))
    yield "padding", seed(grey_16, samples, LITTLE.element(0x00280120, "US", 7) + LITTLE.element(0x00280121, "US", 90))
    yield "voi", seed(grey_16, samples, lut(0x00283010, (4, 100, 12), (1, 2, 3, 4000)))
    yield "modality", seed(grey_16, samples, lut(0x00283000, (3, 0xFFFF, 16), (9, 0, 60000)))
    yield "groups", seed(grey_16, samples, groups())
    yield "palette", seed((7, 7, 4, 0, 7, 0, 0, 0, 0, 0, 0, 90), samples, palette(0x00281201, 16, 1, 500, 65535))
    yield "segments", seed((7, 7, 4, 0, 7, 0, 0, 0, 0, 0, 0, 90), samples,
                           palette(0x00281221, 16, 0, 2, 1, 2, 1, 2, 6, 2, 2, 0, 0))
    yield "float", seed((7, 7, 2, 3, 31, 0, 0, 0, 0, 0, 0, 90), struct.pack("<5f", 1, 2, float("nan"), 1e30, -9), b"")
    yield "scaled", seed(scaled, samples, b"")
    yield "jpeg", seed(grey_8, SMALL_JPEG, b"")
    comment = b"\xff\xfe\0\6text"
    yield "commented", seed(grey_8, SMALL_JPEG[:2] + comment + SMALL_JPEG[2:], b"")


def rule_values():
    """For fuzz_rule: values that a rule may meet, and the text of keys."""
    yield "date", b"20200229143015.123+1000\\2020.02.29\\2020-02-29 14:30:15.5+02"
    yield "uid", b"1.2.840.10008.1.2.1\\1.2.840.113619.2.55.3"
    yield "text", "CT of Dr. Müller, 555-1234, room 12, 3 March 2020, a@b.example, 92yo, L4/5, 山田^太郎".encode()
    yield "numbers", b"091Y\\1100M\\12345-6789\\17.25"
    yield "known", b"applesapples"
    yield "keys", b"# keys\n1 " + b"00" * 32 + b"\n2\t" + b"Ff" * 32 + b"  # next\r\n"


def write(directory, make):
    os.makedirs(directory, exist_ok=True)
    for name, content in make():
        with open(os.path.join(directory, "%s_%s.dcm" % (make.__name__, name)), "wb") as file:
            file.write(content)


def main():
    for make in (sound, no_meta, contradicting, damaged, not_dicom):
        write(sys.argv[1], make)
    write(os.path.join(sys.argv[1], "fuzz_picture"), pictures)
    write(os.path.join(sys.argv[1], "fuzz_rule"), rule_values)


main()
