#!/usr/bin/env python3
"""Turns DCMTK's dicom.dic into the constant tables that dictionary.c searches.

usage: make_dictionary.py dicom.dic >dictionary_data.h
"""
import re
import sys

LINE = re.compile(r"\(([0-9A-Fa-f-]+),([0-9A-Fa-f]{4})(?:-([0-9A-Fa-f]{4}))?\)\t(\w\w)\t(\w+)\t(\S+)\t(\S+)")
GROUPS = re.compile(r"([0-9A-Fa-f]{4})(?:-([0-9A-Fa-f]{4}))?")

# Lower-case codes are DCMTK's own, for what PS3.6 gives several representations or none.
VR_OF_CODE = {
    "xs": "DICOM_VR_US_OR_SS",
    "ox": "DICOM_VR_OB_OR_OW",
    "px": "DICOM_VR_OB_OR_OW",
    "lt": "DICOM_VR_US_OR_OW",
    "up": "DICOM_VR('U', 'L')",
    "na": "DICOM_VR_NONE",
}


class Entry:
    """One attribute, or one range of groups or elements that share a definition."""

    def __init__(self, first, last, vr, keyword, vm, version):
        self.tag, self.last = first, last
        self.retired = keyword.startswith("RETIRED_") or version.endswith("retired")
        self.keyword = keyword.removeprefix("RETIRED_")
        self.vr = VR_OF_CODE.get(vr) or "DICOM_VR('%s', '%s')" % tuple(vr)
        self.vm_min, self.vm_max = multiplicity(vm)

    def c_text(self):
        return '\t{0x%08X, %s, %d, %s, %s, "%s"},' % (
            self.tag, self.vr, self.vm_min, self.vm_max, "true" if self.retired else "false", self.keyword)


def multiplicity(vm):
    """'1', '1-3', '1-n', '2-2n' as the least and the greatest number of values."""
    low, _, high = vm.partition("-")
    if not high:
        return int(low), int(low)
    return int(low), "DICOM_VM_UNBOUNDED" if high.endswith("n") else int(high)


def read_entries(lines):
    """Every attribute of the standard; DCMTK's catch-all ranges for private and illegal groups are left out."""
    entries = {}
    for line in lines:
        match = LINE.match(line)
        if not match or match[7] in ("PRIVATE", "ILLEGAL", "GENERIC"):
            continue
        groups = GROUPS.fullmatch(match[1])
        if not groups:
            raise SystemExit("cannot read the range of groups in: " + line.rstrip())
        group, element = int(groups[1], 16), int(match[2], 16)
        last = int(groups[2] or groups[1], 16) << 16 | int(match[3] or match[2], 16)
        entry = Entry(group << 16 | element, last, *match.group(4, 5, 6, 7))
        entries[entry.tag] = entry
    return [entries[tag] for tag in sorted(entries)]


def by_keyword(entries):
    """Places of entries in the order of their lower-case keywords; the current one where two fall together."""
    chosen = {}
    for place, entry in enumerate(entries):
        name = entry.keyword.lower()
        if name not in chosen or entries[chosen[name]].retired and not entry.retired:
            chosen[name] = place
    return [chosen[name] for name in sorted(chosen)]


def rows(values, per_row):
    for i in range(0, len(values), per_row):
        print("\t" + ", ".join(values[i:i + per_row]) + ",")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        entries = read_entries(file)
    if len(entries) < 4000:
        raise SystemExit("%s holds no data dictionary" % sys.argv[1])
    ranges = [(place, entry) for place, entry in enumerate(entries) if entry.last != entry.tag]

    print("/* Made by make_dictionary.py. */")
    print("static const struct dicom_dictionary_entry entries[] = {")
    for entry in entries:
        print(entry.c_text())
    print("};\n\n/* The tags of entries[], close together for the search. */\nstatic const uint32_t tags[] = {")
    rows(["0x%08X" % entry.tag for entry in entries], 10)
    print("};\n\n/* Places in entries[], in the order of lower-case keywords. */\nstatic const uint16_t keywords[] = {")
    rows(["%d" % place for place in by_keyword(entries)], 20)
    print("};\n\n/* Entries that stand for a range of groups, or of elements. */\nstatic const struct range ranges[] = {")
    for place, entry in ranges:
        print("\t{%d, 0x%08X, 0x%08X}," % (place, entry.tag, entry.last))
    print("};")


if __name__ == "__main__":
    main()
