# Promise: a picture is right, not only present. Levels before JPEG are those of the formulae of PS3.3 C.11 and C.7.6.3, written out in
# numpy in test/lib/pictures.py, within 1 for grey and 2 for colour: over files made for it, and over real ones.
use strict;
use warnings;

use DicomTest;

# Its output is this test's.
exit(system('/usr/bin/python3', '-B', top() . '/test/lib/pictures.py', top() . '/build/tools', work_dir(), corpus() || ()) ? 1 : 0);
