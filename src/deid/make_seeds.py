#!/usr/bin/env python3
"""Turns the tables of seeds/ into the SQL that fills the profiles which the extension brings.

usage: make_seeds.py seeds-directory
"""
import csv
import sys
from pathlib import Path

# Name, whose judgement its mapping goes by, parameters of its rules, the file of the mapping, what it is for.
PROFILES = [
    ("basic", "basic", "{}", "anonymization_mapping_basic.csv",
     "PS3.15 Basic Application Level Confidentiality Profile: no dates, no descriptions, no characteristics of the patient"),
    ("research", "research", "{}", "anonymization_mapping.csv",
     "basic with dates shifted, descriptions cleaned, and characteristics of patients and pseudonyms of devices retained"),
    ("safe_harbor", "safe_harbor", "{}", "anonymization_mapping_safe_harbor.csv",
     "the identifiers of 45 CFR 164.514(b)(2) removed: of dates the year stays, no device is told from others"),
    # The salt was published with the system that used it: this profile compares, it does not protect.
    ("seed_compat", "basic", '{"salt": "123456789"}', "anonymization_mapping_compat.csv",
     "what the system that came before did, for comparison only: SHA-256 with a public salt, 50 identifying columns kept"),
]


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def records(path):
    with open(path, newline="", encoding="utf-8") as lines:
        yield from csv.DictReader(line for line in lines if not line.startswith("#"))


def mapping_values(profile, path):
    """Rows of a mapping as dicom.load_mapping() would make them; what the five columns leave open the table fills in."""
    keys = {}
    for row in records(path):
        ordinal = row.get("key_ordinal") or ""
        if row["target_function"] == "surrogate_key" and not ordinal:
            keys[row["table_name"]] = keys.get(row["table_name"], 0) + 1
            ordinal = str(keys[row["table_name"]])
        yield "\t(" + ", ".join([
            literal(profile),
            *(literal(row[name]) for name in ("schema_name", "table_name", "column_name", "target_function", "target_type")),
            literal(row.get("domain") or ""),
            literal(row.get("params") or "{}"),
            literal(row.get("null_policy") or "null"),
            ordinal or "NULL",
            row.get("quasi_identifier") or "false",
            literal(row["reason"]) if row.get("reason") else "NULL"]) + ")"


def main():
    seeds = Path(sys.argv[1])
    print("\n/* --- the profiles that the extension brings: seeds/. Made by make_seeds.py. --- */\n")
    for table in ("anonymization_mapping", "profile_attribute"):
        print(f"ALTER TABLE dicom.{table} DISABLE TRIGGER USER;")
    print("ALTER TABLE dicom.anonymization_mapping ENABLE TRIGGER check_row;")
    print("INSERT INTO dicom.anonymization_profile (profile, judged_by, params, description) VALUES")
    print(",\n".join(f"\t({literal(name)}, {literal(judge)}, {literal(params)}, {literal(text)})"
                    for name, judge, params, _, text in PROFILES) + ";")
    print("INSERT INTO dicom.profile_attribute (profile, tag, keyword, action, rule, params) VALUES")
    print(",\n".join("\t(" + ", ".join(literal(row[name]) for name in ("profile", "tag", "keyword", "action", "rule"))
                    + ", " + literal(row["params"] or "{}") + ")" for row in records(seeds / "profiles.csv")) + ";")
    for name, _, _, file, _ in PROFILES:
        print("INSERT INTO dicom.anonymization_mapping (profile, schema_name, table_name, column_name, target_function, target_type, domain, params,"
              " null_policy, key_ordinal, quasi_identifier, reason) VALUES")
        print(",\n".join(mapping_values(name, seeds / file)) + ";")
    for table in ("anonymization_mapping", "profile_attribute"):
        print(f"ALTER TABLE dicom.{table} ENABLE TRIGGER USER;")
    print("SELECT dicom.record_profile(p.profile, 'anonymization_mapping') FROM dicom.anonymization_profile p ORDER BY p.profile;")
    print("UPDATE dicom.anonymization_profile SET origin = 'shipped';")


if __name__ == "__main__":
    main()
