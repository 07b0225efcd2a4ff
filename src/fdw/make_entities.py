#!/usr/bin/env python3
"""Turns entities.tsv and DCMTK's dicom.dic into what the entity tables are made of.

usage: make_entities.py header|sql entities.tsv dicom.dic
  header: the C table that IMPORT FOREIGN SCHEMA walks
  sql:    one composite type per entity, the row of its set-returning function
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "dicom"))
import make_dictionary  # noqa: E402

TYPE_OF_VR = {
    "DA": "date",
    "TM": "time without time zone",
    "DT": "timestamp without time zone",
    "DS": "double precision",
    "FD": "double precision",
    "FL": "real",
    "IS": "bigint",
    "US": "integer",
    "SS": "integer",
    "US_OR_SS": "integer",
    "UL": "bigint",
    "SL": "integer",
    "SV": "bigint",
    "UV": "numeric(20,0)",
    "SQ": "jsonb",
    "OB": "bytea",
    "OW": "bytea",
    "OB_OR_OW": "bytea",
}

COMMENT_OF_ATTRIBUTE = {
    "filename": "key of the file that gave the row, below the server's location",
    "key": "key of the file, below the server's location",
    "size": "bytes of the file",
    "etag": "entity tag of the object; of a local file its inode, size and time",
    "last_modified": "when the object was written",
    "storage_class": "S3 storage class",
    "header_bytes": "bytes before the pixel data, or of the whole data set where there are none",
    "error": "why the file could not be read, or not to its end; NULL where it could",
    "warnings": "what is wrong in the file but could be read, and values that are not of their VR",
    "path": "path of the element, as dicom.value() takes it",
    "tag": "tag as eight hex digits",
    "keyword": "keyword of PS3.6; NULL for private and unknown elements",
    "vr": "value representation",
    "vm": "number of values; items of a sequence",
    "length": "bytes of the value; NULL for undefined length",
    "value": "values as text, joined by a backslash; NULL for sequences, bytes and pixel data",
    "private_creator": "who reserved the private block; NULL for standard elements",
}


def normalised(name):
    return name.replace("_", "").lower()


def dictionary(path):
    """Entries by normalised keyword; a current attribute goes before a retired one of the same name."""
    found = {}
    with open(path, encoding="utf-8") as lines:
        for entry in make_dictionary.read_entries(lines):
            key = normalised(entry.keyword)
            if key not in found or found[key].retired:
                found[key] = entry
    return found


def vr_letters(entry):
    text = entry.vr
    return text.removeprefix("DICOM_VR_") if text.startswith("DICOM_VR_") else text[10] + text[15]


def sql_type(entry):
    base = TYPE_OF_VR.get(vr_letters(entry), "text")
    single = entry.vm_max == 1 or base in ("jsonb", "bytea")
    return base if single else base + "[]"


def read_columns(path, attributes):
    """(entity, column, type, comment) in the order of the file."""
    for line in open(path, encoding="utf-8"):
        if line.startswith("#") or not line.strip():
            continue
        entity, column, *given = line.rstrip("\n").split("\t")
        if given:
            yield entity, column, given[0], COMMENT_OF_ATTRIBUTE[column]
            continue
        entry = attributes.get(normalised(column))
        if entry is None:
            raise SystemExit(f"{path}: {column} is no keyword of the dictionary")
        comment = f"{entry.keyword} ({entry.tag >> 16:04X},{entry.tag & 0xFFFF:04X}), VR {vr_letters(entry).replace('_OR_', ' or ')}"
        yield entity, column, sql_type(entry), comment


def write_header(columns):
    print("/* Made by make_entities.py. */")
    print("static const struct entity_column entity_columns[] = {")
    for entity, column, kind, _ in columns:
        text = kind.replace('"', '\\"')
        print(f'\t{{ENTITY_{entity.upper()}, "{column}", "{text}"}},')
    print("};")


def write_sql(columns):
    print("/* Rows of the entities: PS3.3 attributes by name, typed by their VR and VM. Made by make_entities.py. */")
    for entity in dict.fromkeys(row[0] for row in columns):
        rows = [row for row in columns if row[0] == entity]
        body = ",\n".join(f'\t"{column}" {kind}' for _, column, kind, _ in rows)
        print(f"\nCREATE TYPE dicom.{entity}_row AS (\n{body}\n);")
        print(f"COMMENT ON TYPE dicom.{entity}_row IS 'a row of dicom.{entity}()';")
        for _, column, _, comment in rows:
            text = comment.replace("'", "''")
            print(f"COMMENT ON COLUMN dicom.{entity}_row.\"{column}\" IS '{text}';")


def main():
    kind, entities, dic = sys.argv[1:]
    columns = list(read_columns(entities, dictionary(dic)))
    {"header": write_header, "sql": write_sql}[kind](columns)


if __name__ == "__main__":
    main()
