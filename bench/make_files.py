#!/usr/bin/env python3
"""Writes DICOM files like those of a CT scanner: some 130 header elements, private ones and sequences among them, and
512 x 512 pixels of 16 bits. The same arguments always give the same bytes. Prints how many files it wrote.

	make_files.py --count 2000 DIRECTORY
	make_files.py --count 3000 --size 0 --days 40 --layout days DIRECTORY
"""
import argparse
import datetime
import os
import random
import struct

ROOT = "1.2.826.0.1.3680043.10.1234"
LONG = {b"OB", b"OW", b"OF", b"SQ", b"UT", b"UN"}
FIRST_DAY = datetime.date(2021, 8, 4)
MAKERS = [("GE MEDICAL SYSTEMS", "LightSpeed VCT"), ("SIEMENS", "SOMATOM Definition AS+"), ("Philips", "Brilliance 64")]
PARTS = ["CHEST", "ABDOMEN", "HEAD", "PELVIS", "SPINE"]
NAMES = ["Abel", "Baker", "Chen", "Diaz", "Evans", "Fischer", "Garcia", "Haas", "Ito", "Jansen", "Kim", "Lopez"]


def element(tag, vr, value):
    """One element in explicit VR little endian; text is padded as its VR asks for."""
    if isinstance(value, str):
        value = value.encode("latin-1")
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB", "UN") else b" "
    code = vr.encode()
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + code
    if code in LONG:
        return head + struct.pack("<HI", 0, len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def us(tag, *values):
    return element(tag, "US", struct.pack("<%dH" % len(values), *values))


def sequence(tag, *items):
    body = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)
    return element(tag, "SQ", body)


def file_meta(sop_class, sop_instance):
    body = (element(0x00020001, "OB", b"\0\1") + element(0x00020002, "UI", sop_class)
            + element(0x00020003, "UI", sop_instance) + element(0x00020010, "UI", "1.2.840.10008.1.2.1")
            + element(0x00020012, "UI", ROOT + ".1") + element(0x00020013, "SH", "MAKE_FILES_1"))
    return b"\0" * 128 + b"DICM" + element(0x00020000, "UL", struct.pack("<I", len(body))) + body


class Place:
    """Where a file stands among patients, studies, series and days."""

    def __init__(self, arguments, number):
        per_series = arguments.images_per_series
        per_study = per_series * arguments.series_per_study
        self.number = number
        self.study = number // per_study
        self.series = number % per_study // per_series
        self.image = number % per_series
        studies = -(-arguments.count // per_study)
        self.day = FIRST_DAY + datetime.timedelta(days=self.study * arguments.days // max(studies, 1))
        choose = random.Random(f"{arguments.seed} {self.study}")
        self.patient = choose.randrange(max(1, studies * 2 // 3))
        self.device = choose.randrange(len(MAKERS))
        self.time = f"{choose.randrange(7, 20):02d}{choose.randrange(60):02d}{choose.randrange(60):02d}"
        self.part = choose.choice(PARTS)
        who = random.Random(f"{arguments.seed} patient {self.patient}")
        self.name = f"{who.choice(NAMES)}^{who.choice(NAMES)}^{self.patient}"
        self.birth = f"{who.randrange(1930, 2010)}{who.randrange(1, 13):02d}{who.randrange(1, 29):02d}"
        self.sex = who.choice("FM")
        self.weight = who.randrange(45, 110)
        self.uid = f"{ROOT}.{arguments.seed}.{self.study}"

    def path(self, layout):
        name = f"{self.number:06d}.dcm"
        if layout == "flat":
            return name
        if layout == "days":
            return f"inbox/{self.day:%Y/%m/%d}/{name}"
        return f"{self.day:%Y%m%d}/{self.uid}/{self.series + 1}/{name}"


def header(place, rows, columns):
    maker, model = MAKERS[place.device]
    date, time = f"{place.day:%Y%m%d}", place.time
    series_uid = f"{place.uid}.{place.series + 1}"
    sop_uid = f"{series_uid}.{place.image + 1}"
    sop_class = "1.2.840.10008.5.1.4.1.1.2"
    z = -120.5 + 0.625 * place.image
    moment = f"{time}.{place.image * 1300 % 1000000:06d}"

    def text(tag, vr, value):
        return element(tag, vr, str(value))

    parts = [
        file_meta(sop_class, sop_uid),
        text(0x00080005, "CS", "ISO_IR 100"), text(0x00080008, "CS", "ORIGINAL\\PRIMARY\\AXIAL"),
        text(0x00080012, "DA", date), text(0x00080013, "TM", moment), text(0x00080014, "UI", ROOT + ".2"),
        text(0x00080016, "UI", sop_class), text(0x00080018, "UI", sop_uid),
        text(0x00080020, "DA", date), text(0x00080021, "DA", date), text(0x00080022, "DA", date),
        text(0x00080023, "DA", date), text(0x00080030, "TM", time), text(0x00080031, "TM", time),
        text(0x00080032, "TM", moment), text(0x00080033, "TM", moment),
        text(0x00080050, "SH", f"A{place.study:08d}"), text(0x00080060, "CS", "CT"), text(0x00080070, "LO", maker),
        text(0x00080080, "LO", "Northern General Hospital"), text(0x00080081, "ST", "1 Harbour Street"),
        text(0x00080090, "PN", "Moore^Alice"), text(0x00080201, "SH", "+0000"), text(0x00081010, "SH", f"CT{place.device + 1:02d}"),
        text(0x00081030, "LO", f"CT {place.part}"),
        sequence(0x00081032, text(0x00080100, "SH", "CTCH") + text(0x00080102, "SH", "LOCAL") + text(0x00080104, "LO", "CT with contrast")),
        text(0x0008103E, "LO", f"Axial {place.series + 1}"),
        text(0x00081040, "LO", "Radiology"), text(0x00081048, "PN", "Novak^Eva"), text(0x00081050, "PN", "Reed^Tom"),
        text(0x00081060, "PN", "Stone^Ruth"), text(0x00081070, "PN", "Young^Paul"), text(0x00081090, "LO", model),
        sequence(0x00081110, text(0x00081150, "UI", "1.2.840.10008.3.1.2.3.1") + text(0x00081155, "UI", place.uid + ".9")),
        sequence(0x00081140, *(text(0x00081150, "UI", sop_class) + text(0x00081155, "UI", f"{place.uid}.8.{i}") for i in (1, 2))),
        text(0x00090010, "LO", "ACME_IDEN_01"), text(0x00091001, "LO", "ACME_CT_1"), text(0x00091002, "SH", f"SUITE{place.device}"),
        element(0x00091027, "SL", struct.pack("<i", 1631432800 + place.number)),
        text(0x00100010, "PN", place.name), text(0x00100020, "LO", f"P{place.patient:06d}"),
        text(0x00100021, "LO", "NGH"), text(0x00100030, "DA", place.birth), text(0x00100040, "CS", place.sex),
        text(0x00101010, "AS", f"{place.day.year - int(place.birth[:4]):03d}Y"), text(0x00101020, "DS", "1.72"),
        text(0x00101030, "DS", place.weight), text(0x00102000, "LO", "none"), text(0x001021A0, "CS", "UNKNOWN"),
        text(0x001021B0, "LT", "Cough for three weeks."), text(0x00104000, "LT", "Left arm resting."),
        text(0x00180010, "LO", "Iohexol"), text(0x00180015, "CS", place.part), text(0x00180022, "CS", "HELICAL MODE"),
        text(0x00180050, "DS", "0.625"), text(0x00180060, "DS", "120"), text(0x00180088, "DS", "0.625"),
        text(0x00180090, "DS", "500"), text(0x00181000, "LO", f"{4711 + place.device}"), text(0x00181020, "LO", "07MW18.4\\R2"),
        text(0x00181030, "LO", f"6.1 {place.part} routine"), text(0x00181041, "DS", "90"), text(0x00181100, "DS", "360"),
        text(0x00181110, "DS", "949.075"), text(0x00181111, "DS", "541"), text(0x00181120, "DS", "0"),
        text(0x00181130, "DS", "147.5"), text(0x00181140, "CS", "CW"), text(0x00181150, "IS", "500"),
        text(0x00181151, "IS", 240 + place.image % 60), text(0x00181152, "IS", "12"), text(0x00181160, "SH", "BODY FILTER"),
        text(0x00181170, "IS", "28800"), text(0x00181190, "DS", "0.7"), text(0x00181210, "SH", "STANDARD"),
        text(0x00185100, "CS", "FFS"), element(0x00189305, "FD", struct.pack("<d", 0.5)),
        element(0x00189306, "FD", struct.pack("<d", 0.625)), element(0x00189307, "FD", struct.pack("<d", 40.0)),
        element(0x00189309, "FD", struct.pack("<d", 39.375)), element(0x00189310, "FD", struct.pack("<d", 55.0)),
        element(0x00189311, "FD", struct.pack("<d", 0.984375)), text(0x00190010, "LO", "ACME_ACQU_01"),
        element(0x00191002, "SL", struct.pack("<i", 912)), text(0x00191003, "DS", "389.75"), text(0x00191004, "DS", "1.0166"),
        text(0x0019100F, "DS", "892.8"), element(0x00191011, "SS", struct.pack("<h", 1)), text(0x0019101A, "CS", "I"),
        text(0x0019101E, "DS", "360"), element(0x00191023, "DS", "0.984"), text(0x00191024, "DS", "8.78"),
        element(0x00191039, "SS", struct.pack("<h", 16)), text(0x0020000D, "UI", place.uid), text(0x0020000E, "UI", series_uid),
        text(0x00200010, "SH", place.study + 1), text(0x00200011, "IS", place.series + 1), text(0x00200012, "IS", "1"),
        text(0x00200013, "IS", place.image + 1), text(0x00200032, "DS", f"-180.000000\\-174.500000\\{z:.6f}"),
        text(0x00200037, "DS", "1.000000\\0.000000\\0.000000\\0.000000\\1.000000\\0.000000"),
        text(0x00200052, "UI", place.uid + ".7"), text(0x00201040, "LO", "SN"), text(0x00201041, "DS", f"{z:.3f}"),
        text(0x00204000, "LT", "Oral contrast."), text(0x00210010, "LO", "ACME_RELA_01"), element(0x00211003, "SS", struct.pack("<h", 9)),
        element(0x00211035, "SS", struct.pack("<h", place.series)), element(0x00211091, "SS", b"\0\0"),
        us(0x00280002, 1), text(0x00280004, "CS", "MONOCHROME2"), us(0x00280010, rows), us(0x00280011, columns),
        text(0x00280030, "DS", "0.703125\\0.703125"), us(0x00280100, 16), us(0x00280101, 16), us(0x00280102, 15),
        us(0x00280103, 1), element(0x00280120, "SS", struct.pack("<h", -2000)), text(0x00280301, "CS", "NO"),
        text(0x00281050, "DS", "40\\-600"), text(0x00281051, "DS", "400\\1500"), text(0x00281052, "DS", "-1024"),
        text(0x00281053, "DS", "1"), text(0x00281054, "LO", "HU"), text(0x00281055, "LO", "SOFT\\LUNG"),
        text(0x00282110, "CS", "00"), text(0x00321032, "PN", "Moore^Alice"), text(0x00321060, "LO", f"CT {place.part} with contrast"),
        text(0x00400244, "DA", date), text(0x00400245, "TM", time), text(0x00400253, "SH", f"PPS{place.study}"),
        text(0x00400254, "LO", f"CT {place.part}"),
        sequence(0x00400275, text(0x00400007, "LO", "CT") + text(0x00400009, "SH", f"SPS{place.study}")
                 + text(0x00401001, "SH", f"RP{place.study}")),
        text(0x00430010, "LO", "ACME_PARM_01"), element(0x00431010, "OB", bytes(range(64))),
        text(0x0043101E, "DS", "2.23"), element(0x00431026, "US", struct.pack("<6H", *range(6))),
    ]
    return b"".join(parts)


def pixels(rows, columns, seed):
    """A disc of tissue on air, with noise: what a slice looks like to a reader, and about as hard to compress."""
    noise = random.Random(seed).randbytes(columns * rows)
    rest = struct.Struct("<%dh" % columns)
    lines = []
    for y in range(rows):
        half = int(max(0, (rows * 0.42) ** 2 - (y - rows / 2) ** 2) ** 0.5 * columns / rows)
        line = [-2000] * columns
        for x in range(max(0, columns // 2 - half), min(columns, columns // 2 + half)):
            line[x] = 1000 + (noise[y * columns + x] & 63)
        lines.append(rest.pack(*line))
    return b"".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory")
    parser.add_argument("--count", type=int, default=2000, help="files to write (2000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=512, help="rows and columns; 0: no pixel data (512)")
    parser.add_argument("--days", type=int, default=20, help="study dates to spread over (20)")
    parser.add_argument("--images-per-series", type=int, default=25)
    parser.add_argument("--series-per-study", type=int, default=2)
    parser.add_argument("--layout", choices=["tree", "flat", "days"], default="tree",
                        help="day/study/series/ directories, one directory, or inbox/YYYY/MM/DD/")
    arguments = parser.parse_args()

    size = arguments.size
    values = pixels(size, size, arguments.seed) if size else b""
    directories = set()
    for number in range(arguments.count):
        place = Place(arguments, number)
        path = os.path.join(arguments.directory, place.path(arguments.layout))
        if os.path.dirname(path) not in directories:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            directories.add(os.path.dirname(path))
        with open(path, "wb") as out:
            out.write(header(place, size, size))
            if size:
                # Another picture for every file: the slice, moved by some lines.
                shift = number * 2 * size % len(values)
                out.write(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, len(values)))
                out.write(values[shift:])
                out.write(values[:shift])
    print(arguments.count)


if __name__ == "__main__":
    main()
