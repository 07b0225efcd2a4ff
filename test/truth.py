#!/usr/bin/env python3
"""Compares what dicom_truth reads from the files of a corpus with what TRUTH.jsonl says they hold.

usage: truth.py [program [corpus]]

Exits with 1 where a value differs that KNOWN_WRONG does not list; says 'skipped' where there is no corpus.
"""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.join(HERE, "..", "build", "tools", "dicom_truth")
CORPUS = os.path.join(HERE, "..", "..", "shared", "corpus")

# Values that the truth itself has wrong, by file; None stands for every keyword of the file.
KNOWN_WRONG = {
    "fo-dicom__charset__chrGB2312.dcm": {"PatientName"},
    "fo-dicom__GH179A.dcm": None,
    "fo-dicom__GH1301.dcm": {"PatientSex"},
}


def is_known_wrong(file, keyword):
    keywords = KNOWN_WRONG.get(file, set())
    return keywords is None or keyword in keywords


def read_truth(corpus):
    with open(os.path.join(corpus, "TRUTH.jsonl"), encoding="utf-8") as lines:
        return {record["file"]: record["tags"] for record in map(json.loads, lines)}


def read_ours(program, corpus, truth):
    keywords = sorted({keyword for tags in truth.values() for keyword in tags})
    paths = [os.path.join(corpus, file) for file in truth]
    output = subprocess.run([program, "-k", ",".join(keywords), *paths], check=True, capture_output=True).stdout
    return {record["file"]: record for record in map(json.loads, output.decode("utf-8").splitlines())}


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else PROGRAM
    corpus = sys.argv[2] if len(sys.argv) > 2 else CORPUS
    if not os.path.exists(os.path.join(corpus, "TRUTH.jsonl")):
        print("skipped: no corpus at", corpus)
        return 0
    truth = read_truth(corpus)
    ours = read_ours(program, corpus, truth)
    equal = known = unequal = 0
    for file, tags in truth.items():
        for keyword, want in tags.items():
            got = ours[file]["tags"][keyword]
            if got == want:
                equal += 1
            elif is_known_wrong(file, keyword):
                known += 1
            else:
                unequal += 1
                print("%s\t%s\twant %r\tgot %r\t%s" % (file, keyword, want, got, ours[file]["status"]))
    print("%d files, %d values equal, %d unequal, %d where the truth is wrong" % (len(truth), equal, unequal, known))
    return 1 if unequal else 0


sys.exit(main())
