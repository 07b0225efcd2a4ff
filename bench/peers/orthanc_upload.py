"""usage: orthanc_upload.py PORT CONNECTIONS DIRECTORY

Uploads every file of a directory to Orthanc by POST /instances, over so many connections side by side, each of them kept alive and in a process
of its own; a file is in Orthanc when it has answered. Prints how many are, and to stderr the seconds that took, starting not counted.
"""
import http.client
import multiprocessing
import os
import sys
import time


def upload(port, paths, ready, stored):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.connect()
    ready.wait()
    for path in paths:
        with open(path, "rb") as file:
            connection.request("POST", "/instances", file.read(), {"Content-Type": "application/dicom"})
        answer = connection.getresponse()
        answer.read()
        if answer.status == 200:
            with stored:
                stored.value += 1


def main(port, connections, directory):
    connections = int(connections)
    paths = sorted(os.path.join(place, name) for place, _, names in os.walk(directory) for name in names)
    ready = multiprocessing.Barrier(connections + 1)
    stored = multiprocessing.Value("l", 0)
    writers = [multiprocessing.Process(target=upload, args=(int(port), paths[i::connections], ready, stored)) for i in range(connections)]
    for writer in writers:
        writer.start()
    ready.wait()
    start = time.perf_counter()
    for writer in writers:
        writer.join()
    seconds = time.perf_counter() - start
    print(stored.value)
    print(f"{seconds:f}", file=sys.stderr)


main(*sys.argv[1:])
